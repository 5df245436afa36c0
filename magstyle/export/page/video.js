/** Sources of moving pictures: a camera, or a video file. */

const [TRIES, PAUSE] = [100, 20]; // A pause is in milliseconds.

/** There are no moving pictures; the message says why. */
export class NoVideo extends Error {}

/**
 * @typedef {object} Source
 * @property {HTMLVideoElement} video plays it
 * @property {string} name for files
 * @property {string} [camera] the id of its device
 * @property {boolean} [isFile] whether it can be sought and played again
 * @property {() => Promise<NoVideo | undefined>} over resolves when the pictures end, with the reason if they should not
 * @property {() => void} stop releases the camera, or pauses the file
 * @property {() => void} close releases the camera or the file
 */

/**
 * @param {string} [device] one of `cameras`; by default, the camera on the back of the device, if there is one
 * @returns {Promise<Source>} it rejects with NoVideo
 */
export async function openCamera(device) {
  if (!navigator.mediaDevices) throw new NoVideo("The browser gives the camera only to pages with an https address.");
  const which = device ? { deviceId: { exact: device } } : { facingMode: "environment" };
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { ...which, width: 1280, height: 720 } });
  } catch (error) {
    throw new NoVideo(refusal(error), { cause: error });
  }
  const [track] = stream.getVideoTracks();
  const video = element({ srcObject: stream, muted: true });
  const close = () => {
    track.stop();
    video.srcObject = null;
  };
  const source = {
    video,
    name: "camera",
    camera: track.getSettings().deviceId,
    over: () =>
      new Promise((resolve) => {
        track.addEventListener("ended", () => resolve(new NoVideo("The camera was disconnected.")));
      }),
    stop: close,
    close,
  };
  return started(source);
}

/**
 * The cameras to choose from, which have names only while one of them is open.
 *
 * @returns {Promise<{device: string, label: string}[]>}
 */
export async function cameras() {
  const devices = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
  return devices.map(({ deviceId, label }, k) => ({ device: deviceId, label: label || `Camera ${k + 1}` }));
}

/**
 * @param {File} file
 * @returns {Promise<Source>} it rejects with NoVideo
 */
export async function openVideo(file) {
  const url = URL.createObjectURL(file);
  const video = element({ src: url });
  const source = {
    video,
    name: file.name.replace(/\.[^.]*$/, ""),
    isFile: true,
    over: () =>
      new Promise((resolve) => {
        video.addEventListener("ended", () => resolve(), { once: true });
        video.addEventListener("error", () => resolve(new NoVideo("The browser cannot decode this video.")), { once: true });
      }),
    stop: () => video.pause(),
    close() {
      video.pause();
      video.removeAttribute("src");
      video.load();
      URL.revokeObjectURL(url);
    },
  };
  return started(source);
}

/**
 * Plays a file on, or again if it is at its end.
 *
 * @param {Source} source
 * @returns {Promise<Source>}
 */
export async function playAgain(source) {
  await play(source.video);
  return source;
}

/**
 * The picture that a video shows. For moments, as while it seeks on a busy device, a browser has none to give.
 *
 * @param {HTMLVideoElement} video
 * @returns {Promise<ImageBitmap>}
 */
export async function pictureOf(video) {
  for (let tries = TRIES; ; tries--) {
    try {
      return await createImageBitmap(video);
    } catch (error) {
      if (error.name !== "InvalidStateError" || !tries) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }
}

function element(properties) {
  return Object.assign(document.createElement("video"), { playsInline: true, ...properties });
}

/** Starts to play; resolves when the first picture is there. */
async function started(source) {
  const { video } = source;
  try {
    const shown = new Promise((resolve) => video.addEventListener("loadeddata", resolve));
    play(video);
    const reason = await Promise.race([shown, source.over().then((error) => error ?? new NoVideo("This video is empty."))]);
    if (reason instanceof NoVideo) throw reason;
    if (!video.videoWidth) throw new NoVideo("This video has no pictures that the browser can decode.");
    return source;
  } catch (error) {
    source.close();
    throw error;
  }
}

async function play(video) {
  try {
    await video.play();
  } catch (error) {
    // Sound needs a recent click. Any other refusal is also an error of the video itself.
    if (error.name !== "NotAllowedError" || video.muted) return;
    video.muted = true;
    await play(video);
  }
}

function refusal(error) {
  switch (error.name) {
    case "NotAllowedError":
      return "The browser does not let this page use the camera; its settings can allow it.";
    case "NotFoundError":
    case "OverconstrainedError":
      return "There is no camera.";
    case "NotReadableError":
    case "AbortError":
      return "The camera cannot be used; another program may be using it.";
    default:
      return `The camera cannot be used (${error.message}).`;
  }
}
