/**
 * Files with variables (`NAME='value'` lines) that containers write for others to read by fileKeyRef. Only single quotes, no expansion; grammar and messages as
 * pkg/kubelet/util/env, v1.36.
 */

/** The value of `key` in the file's text; empty when it is not there. Throws an Error that names the line. */
export function valueInEnvFile(text: string, key: string): string {
  const lines = text.split("\n");
  for (let at = 0; at < lines.length; at += 1) {
    const line = (lines[at] as string).replace(/\r$/, "").replace(/^[ \t]+/, "");
    if (line === "" || line.startsWith("#")) continue;
    const { name, rest } = splitAssignment(line, at + 1);
    if (/^[ \t]/.test(rest)) {
      if (name === key) return "";
      continue;
    }
    const { value, lastLine } = quotedValue(lines, rest, at);
    if (name === key) return value;
    at = lastLine;
  }
  return "";
}

function splitAssignment(line: string, number: number): { readonly name: string; readonly rest: string } {
  const equals = line.indexOf("=");
  if (equals < 0) throw wrong(number, "missing '='");
  const name = line.slice(0, equals);
  if (name.trim() === "") throw wrong(number, "empty variable name");
  if (/[ \t]$/.test(name)) throw wrong(number, "whitespace before '=' is not allowed");
  return { name, rest: line.slice(equals + 1) };
}

function quotedValue(
  lines: readonly string[],
  first: string,
  from: number,
): { readonly value: string; readonly lastLine: number } {
  if (!first.startsWith("'")) throw wrong(from + 1, "value must be enclosed in single quotes");
  let value = "";
  let rest = first.slice(1);
  for (let at = from; ; ) {
    const end = rest.indexOf("'");
    if (end >= 0) {
      const after = rest.slice(end + 1).replace(/^[ \t\r]+/, "");
      if (after !== "" && !after.startsWith("#")) throw wrong(at + 1, "unexpected content after closing quote");
      return { value: value + rest.slice(0, end), lastLine: at };
    }
    value += `${rest}\n`;
    at += 1;
    if (at >= lines.length) {
      throw new Error(`invalid environment variable format starting at line ${from + 1}: unclosed single quote`);
    }
    rest = (lines[at] as string).replace(/\r$/, "");
  }
}

function wrong(line: number, what: string): Error {
  return new Error(`invalid environment variable format at line ${line}: ${what}`);
}
