/*
 * Runs the network with LiteRT.js. The first message opens it, {network, predictor, litert}; every other is an image to
 * paint, with the arguments of Engine.paint in engine.js, or a painting whose style is wanted. Messages are answered in
 * order, by {}, {pixels: Uint8ClampedArray}, {weights: Float32Array} or {error}.
 *
 * A classic worker, not a module, because LiteRT.js loads its WebAssembly by importScripts here.
 */
"use strict";

// Shapes that stay ready: the one that is painted, and its neighbour while the size goes back and forth.
const KEPT = 2;

let litert;
let pixels; // pixels.js
let strokes; // strokes.js
let network; // As site.js describes it, with the content of its file.
let predictor; // The same for the style predictor, if there is one.
let gpu;
const models = new Map(); // By height and width; the one that was used last comes last.
let complaint; // The last error that LiteRT logged; after most errors it goes on, with black pictures.

let turn = Promise.resolve();
self.onmessage = ({ data }) => {
  turn = turn.then(() => answer(data));
};

async function answer(message) {
  try {
    if (message.image) {
      const picture = await paint(message);
      self.postMessage({ pixels: picture.data }, [picture.data.buffer]);
    } else if (message.painting) {
      self.postMessage({ weights: await predict(message.painting) });
    } else {
      await open(message);
      self.postMessage({});
    }
  } catch (error) {
    self.postMessage({ error: String(error) });
  } finally {
    message.image?.close?.();
  }
}

async function open(message) {
  const folder = new URL(message.litert, self.location.href).href;
  const urls = [`${folder}index.js`, ...["pixels.js", "strokes.js"].map((name) => new URL(name, self.location.href))];
  [litert, pixels, strokes] = await Promise.all(urls.map((url) => import(url)));
  gpu = await hasGpu();
  await loadRuntime(folder, !gpu && (await canUseThreads()));
  [network, predictor] = await Promise.all([message.network, message.predictor].map((part) => part && read(part)));
}

async function read(part) {
  const response = await fetch(part.file);
  if (!response.ok) throw new Error(`NetworkError: ${response.status}`);
  return { ...part, content: new Uint8Array(await response.arrayBuffer()) };
}

async function hasGpu() {
  const adapter = await navigator.gpu?.requestAdapter();
  // A GPU emulated on the CPU is many times slower than WebAssembly.
  return Boolean(adapter) && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
}

async function canUseThreads() {
  // LiteRT.js has threads only together with relaxed SIMD.
  return self.crossOriginIsolated && (await litert.supportsFeature("relaxedSimd")) && litert.supportsFeature("threads");
}

async function loadRuntime(folder, threads) {
  self.Module = {
    locateFile: (name) => `${folder}wasm/${name}`,
    mainScriptUrlOrBlob: `${folder}wasm/litert_wasm_threaded_internal.js`,
    // Without this, it logs all that it does as errors of the page.
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

/** The network for images of this shape, multiples of 4. */
async function opened(height, width) {
  const shape = `${height} x ${width}`;
  const model = models.get(shape) ?? (await compile(height, width));
  models.delete(shape);
  models.set(shape, model);
  return model;
}

async function compile(height, width) {
  for (const [shape, model] of [...models].slice(0, models.size - KEPT + 1)) {
    models.delete(shape);
    model.delete();
  }
  const content = resized(network, height, width);
  return (gpu && (await compileForGpu(content, height, width))) || litert.loadAndCompile(content, { accelerator: "wasm" });
}

/** The content of the file, in which the numbers that depend on the shape of the image are set. */
function resized({ content, step, ...part }, height, width) {
  const numbers = new Int32Array(content.buffer, 0, Math.floor(content.length / 4));
  for (const [places, side] of [[part.height, height], [part.width, width]]) {
    const steps = Math.floor(side / step);
    for (const [position, factor, summand] of places[side % step]) numbers[position] = factor * steps + summand;
  }
  return content;
}

/** Opens the model on the GPU, and runs it once, which also prepares it; undefined if the GPU cannot run all of it. */
async function compileForGpu(content, height, width) {
  let model;
  try {
    // In 16 bits, the sums of the normalisations would lose too much precision.
    model = await litert.loadAndCompile(content, { accelerator: "webgpu", gpuOptions: { precision: "fp32" } });
    if (model.isFullyAccelerated) {
      const [numStyles] = model.getInputDetails().find(({ name }) => name === "style_weights").shape;
      await stylize(model, new Float32Array(height * width * 3), height, width, new Float32Array(numStyles));
      return model;
    }
  } catch (error) {
    console.debug(error);
  }
  model?.delete();
  complaint = undefined;
  return undefined;
}

async function paint({ image, pass, finishing, size, detail, weights, strength }) {
  let painted = await paintPass(pixels.scaled(image, pass.width, pass.height), weights);
  if (finishing) {
    painted = strokes.enlarged(painted, pixels.scaled(image, finishing.width, finishing.height));
    strokes.finish(painted, await paintPass(painted, weights));
    detail = false; // The photo's finest detail would lie on finished strokes like scratches.
  }
  if (!detail && strength === 1) return pixels.scaled(painted, size.width, size.height); // Without the photo in that size.
  const original = pixels.scaled(image, size.width, size.height);
  const picture = detail ? strokes.enlarged(painted, original) : pixels.scaled(painted, size.width, size.height);
  if (strength !== 1) pixels.fade(original, picture, strength);
  return picture;
}

/** Stylises an image in its own size. */
async function paintPass(photo, weights) {
  const [height, width] = [photo.height, photo.width].map((side) => Math.max(8, 4 * Math.ceil(side / 4)));
  const model = await opened(height, width);
  const numbers = await stylize(model, toTensor(photo, height, width), height, width, weights);
  return fromTensor(numbers, width, photo.width, photo.height);
}

/** Stylises an image [height, width, 3]; the result has the same shape. */
function stylize(model, numbers, height, width, weights) {
  const inputs = { input_image: [numbers, [1, height, width, 3]], style_weights: [weights, [weights.length]] };
  return run(model, inputs, "stylized_image");
}

/** The weights that the network takes for the style of a painting. */
async function predict(painting) {
  const { numbers, height, width } = seen(painting);
  const model = await litert.loadAndCompile(resized(predictor, height, width), { accelerator: "wasm" });
  try {
    return await run(model, { painting: [numbers, [1, height, width, 3]] }, "style_weights");
  } finally {
    model.delete();
  }
}

/** A painting as the predictor sees it, RGB in [0, 1], as magstyle/checkpoints/paintings.py shows it. */
function seen(painting) {
  const { side, longest } = predictor;
  const shorter = Math.min(painting.width, painting.height);
  const [wide, high] = [painting.width, painting.height].map((length) => Math.round((length * side) / shorter));
  const [width, height] = [wide, high].map((length) => Math.min(length, longest));
  const [left, top] = [(wide - width) >> 1, (high - height) >> 1];
  const numbers = new Float32Array(height * width * 3);
  for (let c = 0; c < 3; c++) {
    const values = strokes.plane(painting, (k) => painting.data[4 * k + c]);
    const color = Uint8ClampedArray.from(strokes.resized(values, painting, { width: wide, height: high }));
    for (let y = 0, to = c; y < height; y++) {
      for (let x = 0; x < width; x++, to += 3) numbers[to] = color[(top + y) * wide + left + x] / 255;
    }
  }
  return { numbers, height, width };
}

/** Runs a model with inputs {name: [numbers, shape]}; returns the numbers of an output. */
async function run(model, inputs, output) {
  const tensors = [];
  try {
    const given = Object.entries(inputs).map(([name, [numbers, shape]]) => [name, track(new litert.Tensor(numbers, shape))]);
    const results = await model.run(Object.fromEntries(given));
    const numbers = await track(results[output]).data();
    if (complaint) throw new Error(complaint);
    return numbers;
  } finally {
    for (const tensor of tensors) tensor.delete();
  }

  function track(tensor) {
    tensors.push(tensor);
    return tensor;
  }
}

/**
 * RGB in [0, 1], [height, width, 3]: the photo in the upper left corner, reflected beyond its lower and right borders as
 * magstyle's Stylizer does, so that the means and variances of the network are those of the photo.
 */
function toTensor(photo, height, width) {
  const numbers = new Float32Array(height * width * 3);
  const columns = Array.from({ length: width }, (_, x) => reflected(x, photo.width));
  for (let y = 0, to = 0; y < height; y++) {
    const row = reflected(y, photo.height) * photo.width;
    for (let x = 0; x < width; x++, to += 3) {
      const from = (row + columns[x]) * 4;
      numbers[to] = photo.data[from] / 255;
      numbers[to + 1] = photo.data[from + 1] / 255;
      numbers[to + 2] = photo.data[from + 2] / 255;
    }
  }
  return numbers;
}

function reflected(index, length) {
  const period = Math.max(1, 2 * (length - 1));
  const rest = index % period;
  return rest < length ? rest : period - rest;
}

/** The upper left corner of a picture [?, columns, 3], rounded to 8 bits. */
function fromTensor(numbers, columns, width, height) {
  const picture = new ImageData(width, height);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0, from = y * columns * 3; x < width; x++, from += 3, to += 4) {
      picture.data[to] = numbers[from] * 255;
      picture.data[to + 1] = numbers[from + 1] * 255;
      picture.data[to + 2] = numbers[from + 2] * 255;
      picture.data[to + 3] = 255;
    }
  }
  return picture;
}
