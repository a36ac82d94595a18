/**
 * What a message that holds no valid CloudEvent is answered with. The message names the attribute, so that whoever sends it finds the place.
 */

/** 400: not a valid event. 413: larger or more than is taken. 415: a format, character set or content coding that is not read. */
export type CloudEventErrorStatus = 400 | 413 | 415;

/** A message that is no CloudEvent, or not a valid one. */
export class CloudEventError extends Error {
  readonly kind = "CloudEventError";
  readonly status: CloudEventErrorStatus;
  /** Which attribute, when it is about one. */
  readonly attribute: string | undefined;

  constructor(message: string, options: { readonly status?: CloudEventErrorStatus; readonly attribute?: string } = {}) {
    super(message);
    this.status = options.status ?? 400;
    this.attribute = options.attribute;
  }
}

/** An attribute whose value does not do. Values are a stranger's: the message shows their beginning only. */
export function attributeError(attribute: string, problem: string): CloudEventError {
  return new CloudEventError(`attribute ${JSON.stringify(attribute.slice(0, 64))} ${problem}`, { attribute });
}

/** A stranger's text as messages may show it: quoted, escaped, 64 characters at most. */
export function shown(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text);
}
