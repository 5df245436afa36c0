/** Installs the service worker, which keeps the page for offline use and makes WebAssembly's threads possible. */

/**
 * Resolves when the service worker serves this page, or cannot. Reloads the page once, on the first visit: a page may have
 * threads only if it was itself served with the headers that the service worker adds.
 *
 * @param {() => boolean} mayReload
 */
export async function goOffline(mayReload) {
  try {
    const registration = await navigator.serviceWorker.register("sw.js", { updateViaCache: "none" });
    // A new version waits until no page uses the old one.
    if (!registration.active) await activated(registration.installing);
    if (registration.active && !crossOriginIsolated && mayReload() && !sessionStorage.getItem("reloaded")) {
      sessionStorage.setItem("reloaded", "yes");
      location.reload();
      await new Promise(() => {});
    }
  } catch (error) {
    // In a private window, or without https, the page works only online.
    console.debug(error);
  }
}

/** Resolves when the worker is active, or cannot be installed. */
function activated(worker) {
  return new Promise((resolve) => {
    const check = () => ["activated", "redundant"].includes(worker?.state ?? "activated") && resolve();
    worker?.addEventListener("statechange", check);
    check();
  });
}
