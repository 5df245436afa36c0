/*
 * Runs one model with LiteRT.js. The first message opens it, {model: {file, size}, litert}; every other is a photo to paint,
 * {photo: ImageData, weights: Float32Array}. A message is answered, in order, by {}, {pixels} or {error}.
 *
 * A classic worker, not a module, because LiteRT.js loads its WebAssembly by importScripts here.
 */
"use strict";

let litert;
let model;
let size;
let complaint; // The last error that LiteRT logged: it goes on after most, with black pictures.

let turn = Promise.resolve();
self.onmessage = ({ data }) => {
  turn = turn.then(() => answer(data));
};

async function answer(message) {
  try {
    if (message.photo) {
      const pixels = await paint(message.photo, message.weights);
      self.postMessage({ pixels }, [pixels.buffer]);
    } else {
      await open(message);
      self.postMessage({});
    }
  } catch (error) {
    self.postMessage({ error: String(error) });
  }
}

async function open(message) {
  const folder = new URL(message.litert, self.location.href).href;
  litert = await import(`${folder}index.js`);
  const gpu = await hasGpu();
  await loadRuntime(folder, !gpu && (await canUseThreads()));
  const file = new Uint8Array(await (await fetched(message.model.file)).arrayBuffer());
  size = message.model.size;
  if (gpu && (await runsOnGpu(file))) return;
  model = await litert.loadAndCompile(file, { accelerator: "wasm" });
}

async function fetched(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`NetworkError: ${response.status}`);
  return response;
}

async function hasGpu() {
  const adapter = await navigator.gpu?.requestAdapter();
  // A GPU emulated on the CPU is many times slower than WebAssembly.
  return Boolean(adapter) && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
}

async function canUseThreads() {
  // They come with relaxed SIMD alone.
  return self.crossOriginIsolated && (await litert.supportsFeature("relaxedSimd")) && litert.supportsFeature("threads");
}

async function loadRuntime(folder, threads) {
  self.Module = {
    locateFile: (name) => `${folder}wasm/${name}`,
    mainScriptUrlOrBlob: `${folder}wasm/litert_wasm_threaded_internal.js`,
    // It would log all that it does as errors of the page.
    printErr: (text) => {
      console.debug(text);
      if (text.startsWith("ERROR")) complaint = text;
    },
  };
  try {
    await litert.loadLiteRt(`${folder}wasm/`, { threads });
  } catch (error) {
    // Some phones refuse the shared memory that threads reserve.
    if (!threads) throw error;
    await loadRuntime(folder, false);
  }
}

/** Opens the model on the GPU, and tries it, which also prepares it; false where the GPU can't take all of it. */
async function runsOnGpu(file) {
  try {
    // With 16 bits the sums of the normalisations would lose too much.
    model = await litert.loadAndCompile(file, { accelerator: "webgpu", gpuOptions: { precision: "fp32" } });
    if (model.isFullyAccelerated) {
      const [numStyles] = model.getInputDetails().find(({ name }) => name === "style_weights").shape;
      await paint({ data: [0, 0, 0, 0], width: 1, height: 1 }, new Float32Array(numStyles));
      return true;
    }
  } catch (error) {
    console.debug(error);
  }
  model?.delete();
  complaint = undefined;
  return false;
}

async function paint(photo, weights) {
  const image = new litert.Tensor(toSquare(photo), [1, size, size, 3]);
  const styleWeights = new litert.Tensor(weights, [weights.length]);
  let stylized;
  try {
    ({ stylized_image: stylized } = await model.run({ input_image: image, style_weights: styleWeights }));
    const square = await stylized.data();
    if (complaint) throw new Error(complaint);
    return fromSquare(square, photo.width, photo.height);
  } finally {
    image.delete();
    styleWeights.delete();
    stylized?.delete();
  }
}

/**
 * RGB in [0, 1], [size, size, 3]: the photo in the upper left corner, reflected beyond its lower and right borders as
 * magstyle's Stylizer does, so that the means and variances of the network are those of the photo.
 */
function toSquare({ data, width, height }) {
  const square = new Float32Array(size * size * 3);
  const columns = Array.from({ length: size }, (_, x) => reflected(x, width));
  for (let y = 0, to = 0; y < size; y++) {
    const row = reflected(y, height) * width;
    for (let x = 0; x < size; x++, to += 3) {
      const from = (row + columns[x]) * 4;
      square[to] = data[from] / 255;
      square[to + 1] = data[from + 1] / 255;
      square[to + 2] = data[from + 2] / 255;
    }
  }
  return square;
}

function reflected(index, length) {
  const period = Math.max(1, 2 * (length - 1));
  const rest = index % period;
  return rest < length ? rest : period - rest;
}

/** RGBA in [0, 255], rounded, of the upper left corner. */
function fromSquare(square, width, height) {
  const pixels = new Uint8ClampedArray(width * height * 4);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0, from = y * size * 3; x < width; x++, from += 3, to += 4) {
      pixels[to] = square[from] * 255;
      pixels[to + 1] = square[from + 1] * 255;
      pixels[to + 2] = square[from + 2] * 255;
      pixels[to + 3] = 255;
    }
  }
  return pixels;
}
