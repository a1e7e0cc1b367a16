/* Search runs in a Worker, and a browser starts none for a page that is opened from the disk (file://). There, this one
   takes its place: the worker's script in a hidden frame of the page, which hears and answers as a Worker does. */
"use strict";
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.window = frame.contentWindow;
      this.window.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }));
      const script = this.window.document.createElement("script");
      this.ready = new Promise((resolve, reject) => { script.onload = resolve; script.onerror = reject; });
      script.src = url;
      this.window.document.body.append(script);
    }
    postMessage(data) {
      this.ready.then(() => this.window.dispatchEvent(new MessageEvent("message", { data })));
    }
    terminate() {
      this.window.frameElement.remove();
    }
  };
}
