/** Reads files as paintings, whose style the predictor tells. */

import { decoded, longestSide, scale } from "./photo.js";
import { fitted } from "./pixels.js";

const THUMBNAIL = 160; // Its side, in pixels.

/** The file shows no style. */
export class NoPainting extends Error {}

/**
 * @param {File} file
 * @param {number} smallest shorter side that a painting may have, in pixels
 * @returns {Promise<{name: string, thumbnail: string, pixels: ImageData}>} it rejects with NoPainting
 */
export async function readPainting(file, smallest) {
  const refuse = (reason) => {
    throw new NoPainting(`${file.name} ${reason}`);
  };
  const bitmap = await decoded(file).catch(() => refuse("is not an image that the browser can open."));
  const side = Math.min(bitmap.width, bitmap.height);
  if (side < smallest) refuse(`is too small: its shorter side has ${side} pixels, where at least ${smallest} are needed.`);
  const pixels = scale(bitmap, fitted(bitmap, longestSide(bitmap)));
  if (hasOneColor(pixels)) refuse("shows no style: it has only one colour.");
  return { name: file.name.replace(/\.[^.]*$/, "") || "painting", thumbnail: thumbnail(bitmap, side), pixels };
}

function hasOneColor({ data }) {
  const colors = new Uint32Array(data.buffer);
  return colors.every((color) => color === colors[0]);
}

/** The address of the middle of a painting as a square, over white. */
function thumbnail(bitmap, side) {
  const canvas = Object.assign(document.createElement("canvas"), { width: THUMBNAIL, height: THUMBNAIL });
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, THUMBNAIL, THUMBNAIL);
  context.imageSmoothingQuality = "high";
  const [left, top] = [(bitmap.width - side) / 2, (bitmap.height - side) / 2];
  context.drawImage(bitmap, left, top, side, side, 0, 0, THUMBNAIL, THUMBNAIL);
  return canvas.toDataURL("image/jpeg", 0.85);
}
