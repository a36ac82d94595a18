/**
 * Writes watches out: the initial state in slices, then events. While it is quiet an event goes out at once; under load events are gathered for up to 25 ms, and the watches are served in
 * slices, so that a thousand of them do not hold up everything else.
 */
import { internalError, StatusError } from "#apimachinery/status-error.ts";
import type { Clock, Timer } from "#component-base/clock.ts";
import type { WatchStream } from "#apiserver/api-request.ts";
import { Slices } from "#apiserver/negotiation/slices.ts";
import type { WatchEncoder } from "#apiserver/negotiation/watch-forms.ts";
import type { BodyStream } from "./exchange.ts";

/** How long events are gathered under load. */
const GATHER_MS = 25;
/** Slice of a round: what is written makes the engine's HTTP/2 and TLS work for three times as long right behind it. */
const SLICE_MS = 1.5;
/** A round of writing that took longer than this means load. */
const LOAD_MS = 4;
const BOOKMARK_PERIOD_MS = 60_000;
/** With this much unsent, events wait in the watch's queue, where all watches share them, until the client has caught up. */
const ENOUGH_BUFFERED_BYTES = 64 * 1024;
/** How long a client has to read the rest of a watch that has ended. */
const LAST_READ_MS = 30_000;
const INITIAL_CHUNK_BYTES = 64 * 1024;
const INITIAL_EVENTS_END = { "k8s.io/initial-events-end": "true" };

/** One watch that is written to a client. */
export type WatchOutput = { readonly stream: WatchStream; readonly encoder: WatchEncoder; readonly body: BodyStream };

type Running = WatchOutput & {
  isDirty: boolean;
  isBusy: boolean;
  isFinished: boolean;
  bookmarked: number;
  finish: () => void;
};

/** All watches of the server. */
export class WatchWriters {
  readonly #clock: Clock;
  readonly #running = new Set<Running>();
  #dirty: Running[] = [];
  #isScheduled = false;
  #lastRoundMs = 0;
  #bookmarks: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get count(): number {
    return this.#running.size;
  }

  /** Serves a watch until its client goes, its time is over or its history is lost. */
  async run(output: WatchOutput): Promise<void> {
    const { stream, body } = output;
    await this.#writeInitial(output);
    await new Promise<void>((resolve) => {
      const timer = this.#clock.setTimer(stream.timeoutMs, () => void this.#endByTime(running));
      const running: Running = {
        ...output,
        isDirty: false,
        isBusy: false,
        isFinished: false,
        bookmarked: stream.initialRevision,
        finish: () => {
          timer.clear();
          running.isFinished = true;
          this.#running.delete(running);
          resolve();
        },
      };
      this.#running.add(running);
      this.#startBookmarks();
      body.onClose(running.finish);
      stream.watcher.onReady(() => this.#mark(running));
      if (stream.watcher.hasEvents || stream.watcher.isEnded) this.#mark(running);
    });
  }

  /** Ends all watches: the server stops. */
  stop(): void {
    this.#bookmarks?.clear();
    this.#bookmarks = undefined;
    for (const running of this.#running) {
      running.body.end();
      running.finish();
    }
  }

  async #writeInitial({ stream, encoder, body }: WatchOutput): Promise<void> {
    const slices = new Slices();
    // Whoever does not even read how things stood when it began is not waited for.
    stream.watcher.onReady(() => stream.watcher.isEnded && body.abort());
    let gathered: Buffer[] = [];
    let size = 0;
    for (const object of stream.initial) {
      const frame = encoder.object("ADDED", object);
      const bytes = frame instanceof Promise ? await frame : frame;
      gathered.push(bytes);
      size += bytes.length;
      if (size < INITIAL_CHUNK_BYTES && !slices.isOver()) continue;
      if (!body.write(Buffer.concat(gathered, size))) await body.drained();
      if (body.isClosed) return;
      gathered = [];
      size = 0;
      await slices.next();
    }
    if (stream.marksInitialEventsEnd) gathered.push(await encoder.bookmark(stream.initialRevision, INITIAL_EVENTS_END));
    if (gathered.length > 0) body.write(Buffer.concat(gathered));
  }

  #mark(running: Running): void {
    if (running.isDirty) return;
    running.isDirty = true;
    this.#dirty.push(running);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    const isLoaded = this.#lastRoundMs > LOAD_MS;
    if (isLoaded) setTimeout(() => void this.#round(), GATHER_MS);
    else queueMicrotask(() => void this.#round());
  }

  async #round(): Promise<void> {
    const watches = this.#dirty;
    this.#dirty = [];
    const slices = new Slices(SLICE_MS);
    let spentMs = 0;
    let sliceMs = performance.now();
    for (const running of watches) {
      running.isDirty = false;
      if (!running.isBusy) this.#flush(running);
      if (!slices.isOver()) continue;
      spentMs += performance.now() - sliceMs;
      await slices.next();
      sliceMs = performance.now();
    }
    this.#lastRoundMs = spentMs + performance.now() - sliceMs;
    this.#isScheduled = false;
    const [again] = this.#dirty;
    if (again !== undefined) {
      this.#dirty.shift();
      again.isDirty = false;
      this.#mark(again);
    }
  }

  #flush(running: Running): void {
    const { stream, encoder, body } = running;
    if (running.isFinished) return;
    if (stream.watcher.isEnded) return this.#end(running);
    if (body.bufferedBytes > ENOUGH_BUFFERED_BYTES) return this.#waitForClient(running);
    const bytes = encoder.take(stream.watcher);
    if (bytes === undefined) return;
    const write = (ready: Buffer): void => {
      body.write(ready);
      if (stream.watcher.hasEvents || stream.watcher.isEnded) this.#mark(running);
    };
    if (!(bytes instanceof Promise)) return write(bytes);
    running.isBusy = true;
    void bytes.then(
      (ready) => {
        running.isBusy = false;
        write(ready);
      },
      (error: unknown) => void this.#endByError(running, error instanceof StatusError ? error : internalError(error)),
    );
  }

  #waitForClient(running: Running): void {
    running.isBusy = true;
    void running.body.drained().then(() => {
      running.isBusy = false;
      this.#mark(running);
    });
  }

  async #endByTime(running: Running): Promise<void> {
    const { stream, encoder, body } = running;
    if (stream.sendsBookmarks && !body.isClosed) body.write(await encoder.bookmark(stream.watcher.progress));
    this.#end(running);
  }

  async #endByError(running: Running, error: StatusError): Promise<void> {
    running.body.write(await running.encoder.error(error.toStatus()));
    this.#end(running);
  }

  // Also of one that was too slow: as upstream it just ends, and its client goes on from where it was. One that reads nothing is cut off.
  #end(running: Running): void {
    const { body } = running;
    body.end();
    running.finish();
    const timer = this.#clock.setTimer(LAST_READ_MS, () => body.abort());
    body.onClose(() => timer.clear());
  }

  // One timer for all: bookmarks tell clients how far they are, so that they need not begin anew.
  #startBookmarks(): void {
    if (this.#bookmarks !== undefined) return;
    this.#bookmarks = this.#clock.setTimer(BOOKMARK_PERIOD_MS, () => {
      this.#bookmarks = undefined;
      if (this.#running.size === 0) return;
      void this.#sendBookmarks();
      this.#startBookmarks();
    });
  }

  async #sendBookmarks(): Promise<void> {
    const slices = new Slices();
    for (const running of this.#running) {
      const { stream, encoder, body } = running;
      const { progress, hasEvents } = stream.watcher;
      if (!stream.sendsBookmarks || hasEvents || progress <= running.bookmarked) continue;
      running.bookmarked = progress;
      body.write(await encoder.bookmark(progress));
      if (slices.isOver()) await slices.next();
    }
  }
}
