/** Reads files as pixels for the network, and saves pixels as files. */

import { fitted } from "./pixels.js";

/** The file is not a photo, or the browser cannot decode it. */
export class NotAPhoto extends Error {}

/**
 * Decodes a file at two sizes: one to show while a slider moves, and one to save.
 *
 * @param {Blob | ImageBitmap} file
 * @param {number} small longest side of the former, in pixels; photos are never enlarged
 * @param {number} large longest side of the latter
 * @returns {Promise<{small: ImageData, large: ImageData}>} upright sRGB over white
 */
export async function read(file, small, large) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch (error) {
    throw new NotAPhoto("not a photo", { cause: error });
  }
  try {
    return { small: scale(bitmap, small), large: scale(bitmap, large) };
  } finally {
    bitmap.close();
  }
}

function scale(bitmap, longest) {
  const { width, height } = fitted(bitmap, longest);
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
