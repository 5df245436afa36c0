/** Strokes of another size, as magstyle/painting/strokes.py paints them; tests/export/strokes_cases.json compares both. */

// Y of YIQ, as in magstyle/painting/colors.py.
const [RED, GREEN, BLUE] = [0.299, 0.587, 0.114];
const WINDOW = 5;
const EPSILON = 0.01 ** 2;
const [FINISHED_FROM, FINER_BY, LARGEST_FINISHING] = [2.5, 1.25, 2.4];
const FINISH = 0.5;
const LOBES = 3; // Lanczos's.

/**
 * The size to paint an image at, so that its strokes become larger in the end.
 *
 * @param {{width: number, height: number}} image
 * @param {number} strokeSize 2 is twice as large as trained
 * @returns {{width: number, height: number}}
 */
export function paintingSize({ width, height }, strokeSize) {
  const [paintedWidth, paintedHeight] = [width, height].map((side) => Math.max(1, rounded(side / strokeSize)));
  return { width: paintedWidth, height: paintedHeight };
}

/**
 * The size of a second pass, which finishes large strokes.
 *
 * @returns {{width: number, height: number} | undefined} undefined for strokes that need none
 */
export function finishingSize(image, strokeSize) {
  if (strokeSize < FINISHED_FROM) return undefined;
  return paintingSize(image, Math.min(strokeSize / FINER_BY, LARGEST_FINISHING));
}

/** Mixes half of a finishing pass into the picture that it was made of. */
export function finish(picture, finer) {
  const { data } = picture;
  for (let k = 0; k < data.length; k++) data[k] += FINISH * (finer.data[k] - data[k]);
}

/** Rounds as Python does, a half to the even neighbour. */
function rounded(number) {
  const up = Math.round(number);
  return up - number === 0.5 && up % 2 ? up - 1 : up;
}

/**
 * Enlarges a picture that was painted small to the size of its photo, and restores the photo's fine detail.
 *
 * Reference: He, Sun: Fast Guided Filter. arXiv 1505.00996.
 *
 * @param {ImageData} picture
 * @param {ImageData} photo
 * @returns {ImageData}
 */
export function enlarged(picture, photo) {
  const { data } = photo;
  const light = plane(photo, (k) => (RED * data[4 * k] + GREEN * data[4 * k + 1] + BLUE * data[4 * k + 2]) / 255);
  const small = resized(light, photo, picture);
  const mean = averaged(small, picture);
  const squares = averaged(plane(picture, (k) => small[k] ** 2), picture);
  const blurred = resized(small, picture, photo);
  const result = new ImageData(photo.width, photo.height);
  result.data.fill(255); // Its alpha; the colours follow.
  for (let c = 0; c < 3; c++) {
    const color = plane(picture, (k) => picture.data[4 * k + c] / 255);
    const meanColor = averaged(color, picture);
    const products = averaged(plane(picture, (k) => small[k] * color[k]), picture);
    const slopes = plane(picture, (k) => (products[k] - mean[k] * meanColor[k]) / (squares[k] - mean[k] ** 2 + EPSILON));
    const slope = resized(averaged(slopes, picture), picture, photo);
    const base = resized(color, picture, photo);
    for (let k = 0; k < light.length; k++) result.data[4 * k + c] = 255 * (base[k] + slope[k] * (light[k] - blurred[k]));
  }
  return result;
}

/** One number for each pixel of a size, row by row. */
export function plane({ width, height }, value) {
  const values = new Float32Array(width * height);
  for (let k = 0; k < values.length; k++) values[k] = value(k);
  return values;
}

/** The means of windows; beyond a border, its pixels are repeated. */
function averaged(values, { width, height }) {
  return weighted(weighted(values, width, windows(width)), height, windows(height));
}

/** Scaled from one size to another by Lanczos's filter, antialiased, as Pillow does it. */
export function resized(values, from, to) {
  const across = weighted(values, from.width, kernels(from.width, to.width));
  return weighted(across, from.height, kernels(from.height, to.height));
}

/** Sums of neighbours along rows of this width; rows become columns, so that a second call does the same along columns. */
function weighted(values, width, neighbours) {
  const height = values.length / width;
  const sums = new Float32Array(height * neighbours.length);
  for (const [x, { first, weights }] of neighbours.entries()) {
    for (let y = 0; y < height; y++) {
      let sum = 0;
      for (let k = 0, from = y * width + first; k < weights.length; k++) sum += weights[k] * values[from + k];
      sums[x * height + y] = sum;
    }
  }
  return sums;
}

function windows(length) {
  const reach = (WINDOW - 1) / 2;
  return Array.from({ length }, (_, x) => {
    const [first, last] = [Math.max(0, x - reach), Math.min(length - 1, x + reach)];
    const weights = new Float32Array(last - first + 1).fill(1 / WINDOW);
    weights[0] += (first - (x - reach)) / WINDOW;
    weights[last - first] += (x + reach - last) / WINDOW;
    return { first, weights };
  });
}

function kernels(length, wanted) {
  const scale = length / wanted;
  const stretch = Math.max(1, scale);
  return Array.from({ length: wanted }, (_, x) => {
    const centre = (x + 0.5) * scale;
    const first = Math.max(0, Math.floor(centre - LOBES * stretch + 0.5));
    const last = Math.min(length, Math.floor(centre + LOBES * stretch + 0.5));
    const weights = Float32Array.from({ length: last - first }, (_, k) => lanczos((first + k + 0.5 - centre) / stretch));
    const total = weights.reduce((sum, weight) => sum + weight);
    return { first, weights: weights.map((weight) => weight / total) };
  });
}

function lanczos(x) {
  return Math.abs(x) < LOBES ? sinc(x) * sinc(x / LOBES) : 0;
}

function sinc(x) {
  return x ? Math.sin(Math.PI * x) / (Math.PI * x) : 1;
}
