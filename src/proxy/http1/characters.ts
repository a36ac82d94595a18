/**
 * Which bytes may stand where (RFC 9110 5.5 and 5.6.2, RFC 9112 3), as tables with an entry a byte.
 */

export const CR = 13;
export const LF = 10;
export const SP = 32;
export const TAB = 9;
export const COLON = 58;
export const SEMICOLON = 59;

/** Bytes of a token: methods, field names, transfer codings. */
export const isTokenByte: Uint8Array = tableOf((byte) => /[A-Za-z0-9!#$%&'*+\-.^_`|~]/.test(String.fromCharCode(byte)));

/** Bytes of a field's value: visible ones, spaces, tabs and obs-text; no other controls. */
export const isFieldValueByte: Uint8Array = tableOf((byte) => byte === TAB || (byte >= SP && byte !== 127));

/** Bytes of a request target: visible ASCII without `#`. RFC 3986 has fewer, but browsers and llhttp send and take these. */
export const isTargetByte: Uint8Array = tableOf((byte) => byte > SP && byte < 127 && byte !== 35);

/** Bytes of a host with port: reg-name, IP literals, no user information. */
const isAuthorityByte: Uint8Array = tableOf((byte) =>
  /[A-Za-z0-9\-._~%!$&'()*+,;=:[\]]/.test(String.fromCharCode(byte)),
);

/** Values of hexadecimal digits; 255 for all other bytes. */
export const hexValue: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) => {
  const value = /^[0-9A-Fa-f]$/.test(String.fromCharCode(byte)) ? Number.parseInt(String.fromCharCode(byte), 16) : 255;
  return value;
});

export function isToken(text: string): boolean {
  return text.length > 0 && consistsOf(text, isTokenByte);
}

export function isFieldValue(text: string): boolean {
  return consistsOf(text, isFieldValueByte);
}

export function isTarget(text: string): boolean {
  return text.length > 0 && consistsOf(text, isTargetByte);
}

/** Whether `text` is `host` or `host:port`, as in a Host field. The empty one is legal there. */
export function isAuthority(text: string): boolean {
  if (!consistsOf(text, isAuthorityByte)) return false;
  const bracket = text.lastIndexOf("]");
  if (bracket >= 0 && (text[0] !== "[" || !/^(:\d{0,5})?$/.test(text.slice(bracket + 1)))) return false;
  if (bracket >= 0) return /^\[[0-9A-Fa-f:.]+\]$/.test(text.slice(0, bracket + 1));
  const colon = text.indexOf(":");
  return !text.includes("[") && (colon < 0 || (colon > 0 && /^\d{0,5}$/.test(text.slice(colon + 1))));
}

function consistsOf(text: string, table: Uint8Array): boolean {
  for (let index = 0; index < text.length; index++) if (table[text.charCodeAt(index)] !== 1) return false;
  return true;
}

function tableOf(isIn: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (isIn(byte) ? 1 : 0));
}
