/** Plays, pauses and seeks a video file. */

export class Transport {
  #group = document.querySelector("#transport");
  #button = document.querySelector("#play");
  #time = document.querySelector("#time");
  #video;
  #seen;

  /**
   * @param {() => void} toggle called to play, or to pause
   * @param {() => void} seek called when another picture is sought
   * @param {() => void} seen called when the video shows another picture
   */
  constructor(toggle, seek, seen) {
    this.#seen = seen;
    this.#button.addEventListener("click", toggle);
    this.#time.addEventListener("input", () => {
      this.#video.currentTime = this.#time.valueAsNumber;
      this.#label();
      seek();
    });
  }

  /**
   * Shows the state of a video, or nothing.
   *
   * @param {HTMLVideoElement} [video]
   * @param {boolean} isPlaying
   */
  show(video, isPlaying) {
    this.#group.hidden = !video;
    if (video !== this.#video) this.#follow(video);
    this.#button.classList.toggle("playing", isPlaying);
    this.#button.setAttribute("aria-label", isPlaying ? "Pause" : "Play");
  }

  #follow(video) {
    this.#video = video;
    if (!video) return;
    this.#time.max = 0;
    const current = (call) => () => this.#video === video && call();
    video.addEventListener("timeupdate", current(() => this.#update()));
    video.addEventListener("durationchange", current(() => this.#update()));
    // When a video has sought, it may show the picture before for a moment.
    if (video.requestVideoFrameCallback) this.#watch(video);
    else video.addEventListener("seeked", current(() => this.#seen()));
    this.#update();
  }

  #watch(video) {
    video.requestVideoFrameCallback(() => {
      if (this.#video !== video) return;
      this.#seen();
      this.#watch(video);
    });
  }

  #update() {
    const { duration, currentTime } = this.#video;
    // Some recorders do not write how long a video is.
    this.#time.max = Number.isFinite(duration) ? duration : Math.max(this.#time.max, currentTime);
    this.#time.value = currentTime;
    this.#label();
  }

  #label() {
    const words = `${clock(this.#time.value)} / ${clock(this.#time.max)}`;
    this.#time.setAttribute("aria-valuetext", words);
    this.#group.querySelector("output").textContent = words;
  }
}

/** Seconds as minutes and seconds, such as 1:05. */
function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
