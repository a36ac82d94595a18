/**
 * Ends connections that open streams only to reset them (rapid reset, CVE-2023-44487). nghttp2 does so after two hundred, because a client that gives up may reset a hundred at once; but who has reset a
 * stream before the server could even look at it, and opens another in the same breath, and again, does not mean to be served. With many such connections at once each has less patience.
 */
import { constants, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";

/** So many streams of one connection may come and go within one turn of the event loop. */
const PATIENCE = 16;
/** The same for each, once so many have come and gone on all connections together. */
const ALL_PATIENCE = 32;
const LITTLE_PATIENCE = 2;

/** What came in this turn on one connection. */
type Arrivals = { turn: number; gone: number; readonly open: ServerHttp2Stream[] };

/** Watches over all connections of a server. */
export class ResetGuard {
  readonly #arrivals = new WeakMap<ServerHttp2Session, Arrivals>();
  #turn = 0;
  #isCounting = false;
  #gone = 0;

  /** Told of each stream as it arrives; false when its connection was ended for it. */
  arrived(stream: ServerHttp2Stream): boolean {
    const session = stream.session as ServerHttp2Session | undefined;
    if (session === undefined || session.destroyed) return false;
    this.#beginTurn();
    const arrivals = this.#of(session);
    while (arrivals.open[0]?.closed === true) {
      // What was answered within the turn, as small reads of busy clients are, was served and not reset.
      if (arrivals.open.shift()?.headersSent === true) continue;
      arrivals.gone++;
      this.#gone++;
    }
    arrivals.open.push(stream);
    const patience = this.#gone > ALL_PATIENCE ? LITTLE_PATIENCE : PATIENCE;
    if (arrivals.gone <= patience) return true;
    session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
    return false;
  }

  #of(session: ServerHttp2Session): Arrivals {
    const known = this.#arrivals.get(session);
    if (known?.turn === this.#turn) return known;
    const arrivals = { turn: this.#turn, gone: 0, open: [] };
    this.#arrivals.set(session, arrivals);
    return arrivals;
  }

  #beginTurn(): void {
    if (this.#isCounting) return;
    this.#isCounting = true;
    setImmediate(() => {
      this.#isCounting = false;
      this.#gone = 0;
      this.#turn++;
    });
  }
}
