/**
 * Reads the texts of Serving's ConfigMaps. A value that makes no sense is an error with its key: the ConfigMap's last good reading stays in force then.
 */
import { findDurationMs } from "#apimachinery/duration.ts";
import { canonicalQuantity, isQuantity } from "#apimachinery/quantity.ts";

/** A ConfigMap's `data`. */
export type ConfigData = Readonly<Record<string, string>>;

/** A value of a ConfigMap that cannot be. */
export class ConfigError extends Error {
  readonly kind = "ConfigError";
}

/** Reads single keys of one ConfigMap. */
export class ConfigText {
  readonly #data: ConfigData;

  constructor(data: ConfigData | undefined) {
    this.#data = data ?? {};
  }

  text(key: string, fallback: string): string {
    return this.#data[key] ?? fallback;
  }

  /** "true" in any case is true, anything else that is given is false. */
  bool(key: string, fallback: boolean): boolean {
    const given = this.#data[key];
    return given === undefined ? fallback : given.toLowerCase() === "true";
  }

  /** true, false, or undefined for anything else ("default"). */
  triState(key: string, fallback: boolean | undefined): boolean | undefined {
    const given = this.#data[key]?.toLowerCase();
    if (given === undefined) return fallback;
    return given === "true" ? true : given === "false" ? false : undefined;
  }

  number(key: string, fallback: number): number {
    const given = this.#data[key];
    if (given === undefined) return fallback;
    const value = Number(given);
    if (given.trim() === "" || !Number.isFinite(value)) throw this.#wrong(key, given, "a number");
    return value;
  }

  integer(key: string, fallback: number): number {
    const given = this.#data[key];
    if (given === undefined) return fallback;
    if (!/^[+-]?\d+$/.test(given)) throw this.#wrong(key, given, "a whole number");
    return Number(given);
  }

  durationMs(key: string, fallbackMs: number): number {
    const given = this.#data[key];
    if (given === undefined) return fallbackMs;
    const value = findDurationMs(given);
    if (value === undefined) throw this.#wrong(key, given, "a duration");
    return value;
  }

  /** A quantity, or none when the key is absent. */
  quantity(key: string): string | undefined {
    const given = this.#data[key];
    if (given === undefined) return undefined;
    if (!isQuantity(given)) throw this.#wrong(key, given, "a quantity");
    return canonicalQuantity(given);
  }

  /** Words separated by commas. */
  words(key: string, fallback: readonly string[]): readonly string[] {
    const given = this.#data[key];
    if (given === undefined) return fallback;
    return given
      .split(",")
      .map((word) => word.trim())
      .filter((word) => word !== "");
  }

  #wrong(key: string, given: string, wanted: string): ConfigError {
    return new ConfigError(`failed to parse "${key}": "${given}" is not ${wanted}`);
  }
}
