/** Pixel arithmetic for the page and its workers. */

/**
 * The size of an image, reduced if a side is too long.
 *
 * @param {{width: number, height: number}} image
 * @param {number} longest side, in pixels
 */
export function fitted({ width, height }, longest) {
  const factor = Math.min(1, longest / Math.max(width, height));
  return { width: Math.max(1, Math.round(width * factor)), height: Math.max(1, Math.round(height * factor)) };
}

/**
 * @param {ImageData | ImageBitmap} image
 * @param {number} width
 * @param {number} height
 * @returns {ImageData} the image itself if it already has that size
 */
export function scaled(image, width, height) {
  if (image instanceof ImageData && image.width === width && image.height === height) return image;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(image instanceof ImageData ? canvasOf(image) : image, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

function canvasOf(image) {
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d", { willReadFrequently: true }).putImageData(image, 0, 0);
  return canvas;
}

/**
 * Fades a picture towards its photo, or makes it stronger: photo + strength * (picture - photo), clipped, as magstyle's Stylizer does.
 *
 * @param {ImageData} photo
 * @param {ImageData} picture of the same size, which is changed
 * @param {number} strength
 */
export function fade(photo, picture, strength) {
  const [from, to] = [photo.data, picture.data];
  for (let i = 0; i < to.length; i++) to[i] = from[i] + strength * (to[i] - from[i]); // Clipped by its type.
}
