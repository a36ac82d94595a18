/**
 * Which addresses of the node's range are taken. Nothing is written here: whoever uses an address has a record of it on disk, and the records are read at start.
 */

/** The range is used up. */
export class OutOfAddresses extends Error {
  readonly kind = "OutOfAddresses";
}

/** Hands out single IPv4 addresses of a range, in a circle, so that one that was given back rests for a while. */
export class AddressPool {
  readonly #first: number;
  readonly #last: number;
  readonly #taken = new Set<number>();
  #next: number;
  readonly #cidr: string;

  /** The first and the last address of the range are never given out. */
  constructor(cidr: string) {
    const [network = "", bits = ""] = cidr.split("/");
    const size = 2 ** (32 - Number(bits));
    if (!(size >= 4) || !/^\d+\.\d+\.\d+\.\d+$/.test(network) || bits === "")
      throw new TypeError(`not a range of pod addresses: ${cidr}`);
    const base = Math.floor(toNumber(network) / size) * size;
    this.#cidr = cidr;
    this.#first = base + 1;
    this.#last = base + size - 2;
    this.#next = this.#first;
  }

  /** Throws {@link OutOfAddresses}. */
  take(): string {
    const count = this.#last - this.#first + 1;
    for (let tried = 0; tried < count; tried++) {
      const candidate = this.#next;
      this.#next = candidate === this.#last ? this.#first : candidate + 1;
      if (this.#taken.has(candidate)) continue;
      this.#taken.add(candidate);
      return toText(candidate);
    }
    throw new OutOfAddresses(`all ${count} pod addresses of ${this.#cidr} are taken`);
  }

  /** Notes an address that a record names. One outside of the range is ignored. */
  note(address: string): void {
    const number = toNumber(address);
    this.#taken.add(number);
    if (number >= this.#next && number < this.#last) this.#next = number + 1;
  }

  giveBack(address: string): void {
    this.#taken.delete(toNumber(address));
  }
}

function toNumber(address: string): number {
  return address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

function toText(number: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join(".");
}
