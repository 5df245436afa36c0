/** Paints what is asked for last: small and at once, then, when nothing has moved for a while, in full size. */

import { Engine } from "./engine.js";

const REST = 400; // Milliseconds.

export class Painter {
  #site;
  #show;
  #fail;
  #live;
  #fine;
  #wanted;
  #previews;
  #timer;
  #smallOnly = false;

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
    this.#live ??= new Engine(this.#site.preview, this.#site.litert);
    return this.#live.ready;
  }

  /**
   * @param {{small: ImageData, large: ImageData}} photo
   * @param {Float32Array} weights of the styles
   */
  paint(photo, weights) {
    clearTimeout(this.#timer);
    this.#fine?.close();
    this.#wanted = { photo, weights };
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
        request.preview = await this.#live.paint(request.photo.small, request.weights);
      } catch (error) {
        this.#live.close();
        this.#live = undefined;
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
    if (this.#smallOnly) return this.#shown(request.preview);
    const engine = new Engine(this.#site.picture, this.#site.litert);
    this.#fine = engine;
    try {
      const picture = await engine.paint(request.photo.large, request.weights);
      return request === this.#wanted ? this.#shown(picture) : undefined;
    } catch (error) {
      if (request !== this.#wanted) return undefined;
      // What has failed once would fail again; the small picture is better than none.
      this.#smallOnly = true;
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
