/** Paints the latest request: small at once, then in full size when no other request has come for a while. */

import { Engine } from "./engine.js";
import { paintingSize } from "./strokes.js";

const REST = 400; // Milliseconds without another request.

export class Painter {
  #site;
  #show;
  #fail;
  #quick;
  #fine;
  #wanted;
  #previews;
  #timer;
  // The least number of pixels that did not fit into memory.
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
   * @param {{small: ImageData, large: ImageData}} photo
   * @param {Float32Array} weights of the styles
   * @param {number} strokeSize 2 is twice as large as trained
   */
  paint(photo, weights, strokeSize) {
    clearTimeout(this.#timer);
    this.#fine?.close();
    this.#wanted = { photo, weights, strokeSize };
    this.#previews ??= this.#paintPreviews().finally(() => (this.#previews = undefined));
  }

  /**
   * The picture of the latest request, in full size, or small if there is not enough memory for that.
   *
   * @returns {Promise<ImageData | undefined>} undefined if there is a newer request; it rejects if not even a small
   *   picture can be painted
   */
  async picture() {
    await this.#previews;
    return this.#finish(this.#wanted);
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
    const { width, height } = paintingSize(request.photo.large, request.strokeSize);
    if (width * height >= this.#tooMany) return this.#shown(request.preview);
    const engine = new Engine(this.#site);
    this.#fine = engine;
    try {
      const picture = await paintWith(engine, request, request.photo.large);
      return request === this.#wanted ? this.#shown(picture) : undefined;
    } catch (error) {
      if (request !== this.#wanted) return undefined;
      // A size that failed once would fail again; the small picture is better than none.
      this.#tooMany = width * height;
      this.#shown(request.preview);
      this.#fail(error);
      return request.preview;
    } finally {
      engine.close();
    }
  }

  #shown(picture) {
    this.#show(picture, true);
    return picture;
  }
}

function paintWith(engine, { weights, strokeSize }, image) {
  const { width, height } = image;
  const how = { pass: paintingSize(image, strokeSize), size: { width, height }, detail: strokeSize > 1 };
  return engine.paint(image, weights, how);
}
