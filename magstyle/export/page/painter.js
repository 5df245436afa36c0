/** Paints what is asked for last: small and at once, then, when nothing has moved for a while, in full size. */

import { Engine } from "./engine.js";

const REST = 400; // Milliseconds.

export class Painter {
  #site;
  #show;
  #fail;
  #quick;
  #fine;
  #wanted;
  #previews;
  #timer;
  // How many pixels were too many for the memory.
  #tooMany = Infinity;

  /**
   * @param {object} site what bin/build_page.py put into site.js
   * @param {(picture: ImageData, finished: boolean) => void} show called with every picture
   * @param {(error: Error) => void} fail called when a picture cannot be painted
   */
  constructor(site, show, fail) {
    this.#site = site;
    this.#show = show;
    this.#fail = fail;
  }

  /** Resolves when the first picture can be painted without waiting; rejects where none can. */
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
   * The picture of what was asked for last, in full size, or small where memory is too short for that.
   *
   * @returns {Promise<ImageData | undefined>} nothing if something else was asked for meanwhile; it rejects where not even
   *   a small picture can be painted
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
    const { width, height } = passOf(request.photo.large, request.strokeSize);
    if (width * height >= this.#tooMany) return this.#shown(request.preview);
    const engine = new Engine(this.#site);
    this.#fine = engine;
    try {
      const picture = await paintWith(engine, request, request.photo.large);
      return request === this.#wanted ? this.#shown(picture) : undefined;
    } catch (error) {
      if (request !== this.#wanted) return undefined;
      // What has failed once would fail again; the small picture is better than none.
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
  return engine.paint(image, weights, { pass: passOf(image, strokeSize), size: { width, height } });
}

/** Painted smaller and scaled back, an image has larger strokes. */
function passOf({ width, height }, strokeSize) {
  const [passWidth, passHeight] = [width, height].map((side) => Math.max(1, Math.round(side / strokeSize)));
  return { width: passWidth, height: passHeight };
}
