/**
 * A number or a percentage, as maxSurge, minAvailable and ports have it. Rounding and errors as in apimachinery's util/intstr.
 */

/** 3, "25%" or, for ports, "http". */
export type IntOrString = number | string;

/** A value that is neither a number nor a percentage. */
export class IntOrStringError extends Error {
  readonly kind = "IntOrStringError";
}

/** The number itself, or the percentage of `total`, rounded up or down. Throws {@link IntOrStringError} for other strings. */
export function scaledValue(value: IntOrString, total: number, roundUp: boolean): number {
  if (typeof value === "number") return value;
  const portion = (percentOf(value) * total) / 100;
  return roundUp ? Math.ceil(portion) : Math.floor(portion);
}

/** The percentage's number: "25%" is 25. Throws {@link IntOrStringError}. */
export function percentOf(value: string): number {
  if (!value.endsWith("%")) {
    throw new IntOrStringError("invalid value for IntOrString: invalid type: string is not a percentage");
  }
  const digits = value.slice(0, -1);
  if (!/^[-+]?[0-9]+$/.test(digits)) {
    const cause = `strconv.Atoi: parsing ${JSON.stringify(digits)}: invalid syntax`;
    throw new IntOrStringError(`invalid value for IntOrString: invalid value ${JSON.stringify(value)}: ${cause}`);
  }
  return Number(digits);
}

/** A number where the string is one ("8080"), else the string. */
export function parseIntOrString(text: string): IntOrString {
  if (!/^[-+]?[0-9]+$/.test(text)) return text;
  const value = Number(text);
  return value >= -2147483648 && value <= 2147483647 ? value : text;
}
