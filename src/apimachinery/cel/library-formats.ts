/**
 * Kubernetes' named formats: `format.dns1123Label().validate(text)`.
 */
import {
  isDns1035Label,
  isDns1123Label,
  isDns1123Subdomain,
  isLabelValue,
  isQualifiedName,
} from "#apimachinery/names.ts";
import { instanceArg, stringArg } from "./arguments.ts";
import { fn, type FunctionTable } from "./functions.ts";
import { Opaque, Optional } from "./values.ts";

class FormatValue extends Opaque {
  readonly typeName = "kubernetes.NamedFormat";
  readonly name: string;

  constructor(name: string) {
    super();
    this.name = name;
  }

  equals(other: Opaque): boolean {
    return other instanceof FormatValue && other.name === this.name;
  }

  override toString(): string {
    return this.name;
  }
}

/** What is wrong with a text, by format. */
const CHECKS: Readonly<Record<string, (text: string) => readonly string[]>> = {
  dns1123Label: isDns1123Label,
  dns1123Subdomain: isDns1123Subdomain,
  dns1035Label: isDns1035Label,
  qualifiedName: isQualifiedName,
  labelValue: isLabelValue,
  dns1123LabelPrefix: (text) => isDns1123Label(unprefixed(text)),
  dns1123SubdomainPrefix: (text) => isDns1123Subdomain(unprefixed(text)),
  dns1035LabelPrefix: (text) => isDns1035Label(unprefixed(text)),
  uri: (text) => (URL.canParse(text) || text.startsWith("/") ? [] : [`parse "${text}": invalid URI for request`]),
  uuid: matching(
    /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i,
    "does not match the UUID format",
  ),
  byte: matching(/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/, "invalid base64"),
  date: (text) => (isDate(text) ? [] : ["invalid date"]),
  datetime: (text) =>
    /^\d{4}-\d\d-\d\dT/i.test(text) && isDate(text.slice(0, 10)) && !Number.isNaN(Date.parse(text))
      ? []
      : ["invalid datetime"],
};

export const FORMATS: FunctionTable = {
  ...Object.fromEntries(
    Object.keys(CHECKS).map((name) => [`format.${name}`, fn(0, "opaque", () => new FormatValue(name))]),
  ),
  "format.named": fn(1, "optional", (name) =>
    Object.hasOwn(CHECKS, stringArg(name)) ? new Optional(new FormatValue(stringArg(name))) : new Optional(),
  ),
};

export const FORMAT_MEMBERS: FunctionTable = {
  validate: fn(2, "optional", (format, text) => {
    const check = CHECKS[instanceArg(format, FormatValue).name] as (text: string) => readonly string[];
    const problems = check(stringArg(text));
    return problems.length === 0 ? new Optional() : new Optional(problems);
  }),
};

function matching(pattern: RegExp, problem: string): (text: string) => readonly string[] {
  return (text) => (pattern.test(text) ? [] : [problem]);
}

/** A prefix of a generated name may end in a dash. */
function unprefixed(text: string): string {
  return text.endsWith("-") ? `${text.slice(0, -1)}a` : text;
}

function isDate(text: string): boolean {
  const ms = Date.parse(`${text}T00:00:00Z`);
  return /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(text);
}
