/**
 * Paints the latest request: small at once, then for the screen when no other request has come for a while, and larger when
 * it is saved.
 */

import { Engine } from "./engine.js";
import { finishingSize, paintingSize } from "./strokes.js";

const REST = 400; // Milliseconds without another request.

// What a picture to save may take: a quarter of the device's memory, which only some browsers tell, in GiB.
const ROOM = ((navigator.deviceMemory ?? 4) * 2 ** 30) / 4;
const PIXEL = 350; // Bytes that a pixel takes, as measured with `painters` in Chromium.
const SMALLER = 0.7; // Pixels of the next size to try, after one that did not fit into memory.

export class Painter {
  #site;
  #show;
  #fail;
  #quick;
  #fine;
  #wanted;
  #previews;
  #timer;
  // The smallest number of pixels that did not fit into memory.
  #tooMany = Infinity;

  /**
   * @param {object} site as bin/build_page.py writes it to site.js
   * @param {(picture: ImageData, finished: boolean) => void} show called with every picture
   * @param {(error: Error) => void} fail called when a picture cannot be painted
   */
  constructor(site, show, fail) {
    this.#site = site;
    this.#show = show;
    this.#fail = fail;
  }

  /** Resolves when the first picture can be painted without waiting; rejects if none can be painted. */
  open() {
    this.#quick ??= new Engine(this.#site);
    return this.#quick.ready;
  }

  /**
   * Tells the style of a painting.
   *
   * @param {ImageData} painting
   * @returns {Promise<Float32Array>} the weights to paint with
   */
  async predict(painting) {
    await this.open();
    return this.#quick.predict(painting);
  }

  /**
   * @param {{small: ImageData, large: ImageData}} photo
   * @param {Float32Array} weights that the network takes for a style
   * @param {number} strokeSize 2 is twice as large as trained
   */
  paint(photo, weights, strokeSize) {
    clearTimeout(this.#timer);
    this.#fine?.close();
    this.#wanted = { photo, weights, strokeSize };
    this.#previews ??= this.#paintPreviews().finally(() => (this.#previews = undefined));
  }

  /**
   * The picture of the latest request as on the screen, or small if there is not enough memory for that.
   *
   * @returns {Promise<ImageData | undefined>} undefined if there is a newer request; it rejects if not even a small
   *   picture can be painted
   */
  async picture() {
    await this.#previews;
    return this.#finish(this.#wanted);
  }

  /**
   * The picture of the latest request in one of the larger sizes of its photo. If there is not enough memory for that, it
   * is painted smaller, so with larger strokes, and enlarged with the photo's detail.
   *
   * @param {{width: number, height: number}} size
   * @returns {Promise<{original: ImageData, picture: ImageData, pass: {width: number, height: number}} | undefined>} the
   *   photo and its picture in that size, and the size that it was painted at, if memory made that smaller; undefined if
   *   there is a newer request
   */
  async large(size) {
    const onScreen = await this.picture();
    const request = this.#wanted;
    if (!onScreen) return undefined;
    if (request.saved?.size !== size) {
      this.#fine?.close();
      request.saved = { size };
      request.saved.result = this.#paintLarge(request, request.saved);
    }
    try {
      return await request.saved.result;
    } catch (error) {
      request.saved = undefined;
      throw error;
    }
  }

  async #paintPreviews() {
    let request;
    do {
      request = this.#wanted;
      try {
        await this.open();
        request.preview = await paintWith(this.#quick, request, request.photo.small);
      } catch (error) {
        this.#quick.close();
        this.#quick = undefined;
        this.#wanted.error = error;
        this.#fail(error);
        return;
      }
      if (request.photo === this.#wanted.photo) this.#show(request.preview, false);
    } while (request !== this.#wanted);
    this.#timer = setTimeout(() => this.#finish(request), REST);
  }

  #finish(request) {
    clearTimeout(this.#timer);
    return (request.picture ??= this.#paintPicture(request));
  }

  async #paintPicture(request) {
    if (request.error) throw request.error;
    const most = largestPass(request.photo.large, request.strokeSize);
    if (most >= this.#tooMany) return this.#shown(request.preview);
    const engine = new Engine(this.#site);
    this.#fine = engine;
    try {
      const picture = await paintWith(engine, request, request.photo.large);
      return request === this.#wanted ? this.#shown(picture) : undefined;
    } catch (error) {
      if (request !== this.#wanted) return undefined;
      // A size that failed once would fail again; the small picture is better than none.
      this.#tooMany = most;
      this.#shown(request.preview);
      this.#fail(error);
      return request.preview;
    } finally {
      engine.close();
    }
  }

  async #paintLarge(request, saved) {
    const { size } = saved;
    const isWanted = () => request === this.#wanted && saved === request.saved;
    const original = await request.photo.at(size);
    const wanted = paintingSize(size, request.strokeSize);
    const least = pixelsOf(paintingSize(request.photo.large, request.strokeSize));
    let pixels = Math.min(pixelsOf(wanted), Math.max(least, ROOM / PIXEL));
    let finishing = finishingSize(size, request.strokeSize);
    while (isWanted()) {
      if (finishing && pixelsOf(finishing) >= Math.min(this.#tooMany, ROOM / PIXEL)) finishing = undefined;
      while (pixels > least && pixels >= this.#tooMany) pixels = Math.max(least, pixels * SMALLER);
      const pass = resized(wanted, pixels);
      const engine = new Engine(this.#site);
      this.#fine = engine;
      try {
        const how = { pass, finishing, size, detail: pass.width < size.width };
        const picture = await engine.paint(original, request.weights, how);
        return isWanted() ? { original, picture, pass: pass.width < wanted.width ? pass : undefined } : undefined;
      } catch (error) {
        if (!isWanted()) return undefined;
        if (!finishing && pixels <= least) throw error;
        this.#tooMany = finishing ? pixelsOf(finishing) : pixels;
      } finally {
        engine.close();
      }
    }
    return undefined;
  }

  #shown(picture) {
    this.#show(picture, true);
    return picture;
  }
}

function pixelsOf({ width, height }) {
  return width * height;
}

function largestPass(image, strokeSize) {
  return pixelsOf(finishingSize(image, strokeSize) ?? paintingSize(image, strokeSize));
}

/** A size of the same shape with this number of pixels. */
function resized({ width, height }, pixels) {
  const factor = Math.sqrt(pixels / (width * height));
  return { width: Math.max(1, Math.round(width * factor)), height: Math.max(1, Math.round(height * factor)) };
}

function paintWith(engine, { weights, strokeSize }, image) {
  const { width, height } = image;
  const how = {
    pass: paintingSize(image, strokeSize),
    finishing: finishingSize(image, strokeSize),
    size: { width, height },
    detail: strokeSize > 1,
  };
  return engine.paint(image, weights, how);
}
