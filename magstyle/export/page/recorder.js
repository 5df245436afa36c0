/** Records a canvas, with the sound of a video if the browser provides it. */

// H.264 in MP4 plays everywhere; browsers without an encoder for it have WebM.
const TYPES = ["video/mp4;codecs=avc1.42E028,mp4a.40.2", "video/webm;codecs=vp9,opus", "video/webm", "video/mp4"];

/** The clip cannot be recorded; the message says why. */
export class NoRecorder extends Error {}

export class Recorder {
  #recorder;
  #chunks = [];
  #stopped;

  /**
   * Starts recording.
   *
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLVideoElement} video whose sound is recorded
   * @throws {NoRecorder}
   */
  constructor(canvas, video) {
    if (!canvas.captureStream || typeof MediaRecorder !== "function") {
      throw new NoRecorder("This browser cannot record clips.");
    }
    const sound = video.captureStream?.().getAudioTracks() ?? [];
    const stream = new MediaStream([...canvas.captureStream().getVideoTracks(), ...sound]);
    const mimeType = TYPES.find((type) => MediaRecorder.isTypeSupported(type));
    try {
      this.#recorder = new MediaRecorder(stream, { mimeType });
      this.#recorder.addEventListener("dataavailable", ({ data }) => this.#chunks.push(data));
      this.#stopped = new Promise((resolve) => this.#recorder.addEventListener("stop", resolve));
      this.#recorder.start();
    } catch (error) {
      throw new NoRecorder("This browser cannot record clips.", { cause: error });
    }
  }

  /**
   * Ends the clip.
   *
   * @returns {Promise<{clip: Blob, extension: string}>}
   */
  async stop() {
    if (this.#recorder.state !== "inactive") this.#recorder.stop();
    await this.#stopped;
    for (const track of this.#recorder.stream.getTracks()) track.stop();
    const type = this.#recorder.mimeType;
    return { clip: new Blob(this.#chunks, { type }), extension: type.startsWith("video/mp4") ? "mp4" : "webm" };
  }
}
