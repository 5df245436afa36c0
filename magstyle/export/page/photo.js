/** Reads files as pixels for the network, and saves pixels as files. */

import { fitted } from "./pixels.js";

/** The file is not a photo, or the browser cannot decode it. */
export class NotAPhoto extends Error {}

// Safari has no larger canvases, in pixels.
const CANVAS = 2 ** 24;

/**
 * @typedef {object} Photo
 * @property {ImageData} small painted while a slider moves; upright sRGB over white, like the others
 * @property {ImageData} large painted for the screen
 * @property {{width: number, height: number}[]} the sizes that it can be saved in, largest first; the last is that of
 *   `large`
 * @property {(size: {width: number, height: number}) => Promise<ImageData>} at decodes it in another size
 */

/**
 * Decodes a photo.
 *
 * @param {Blob | ImageBitmap} file
 * @param {number} small longest side of `small`, in pixels; photos are never enlarged
 * @param {number} large longest side of `large`
 * @returns {Promise<Photo>} it rejects with NotAPhoto
 */
export async function read(file, small, large) {
  const bitmap = await decoded(file);
  const onScreen = fitted(bitmap, large);
  return {
    small: scale(bitmap, fitted(bitmap, small)),
    large: scale(bitmap, onScreen),
    sizes: savedSizes(bitmap, onScreen),
    at: async (size) => scale(await decoded(file), size),
  };
}

export async function decoded(file) {
  try {
    return await createImageBitmap(file);
  } catch (error) {
    throw new NotAPhoto("not a photo", { cause: error });
  }
}

/** The photo's own size, its halves, and that on the screen. */
function savedSizes(bitmap, onScreen) {
  const sizes = [];
  for (let side = longestSide(bitmap); side > 1.2 * Math.max(onScreen.width, onScreen.height); side /= 2) {
    sizes.push(fitted(bitmap, side));
  }
  return [...sizes, onScreen];
}

/** The longer side of an image, in pixels, reduced if no canvas holds it. */
export function longestSide({ width, height }) {
  return Math.floor(Math.max(width, height) * Math.min(1, Math.sqrt(CANVAS / (width * height))));
}

/** An image in a size, over white. */
export function scale(bitmap, { width, height }) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

/**
 * @param {ImageData} pixels
 * @param {HTMLCanvasElement} canvas is resized to them
 */
export function draw(pixels, canvas) {
  if (canvas.width !== pixels.width) canvas.width = pixels.width;
  if (canvas.height !== pixels.height) canvas.height = pixels.height;
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

/**
 * Hands a picture to the browser's downloads.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {string} type image/png or image/jpeg
 * @param {string} name of the file, without its extension
 */
export async function save(canvas, type, name) {
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, type, 0.95));
  download(blob, `${name}.${type === "image/png" ? "png" : "jpg"}`);
}

/**
 * @param {Blob} blob
 * @param {string} name
 */
export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  // Safari reads the address after this function has returned.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
