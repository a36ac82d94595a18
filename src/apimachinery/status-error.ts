/**
 * Errors of the API: the Status object, and the one class that carries it. Reasons, codes and message shapes as in apimachinery's
 * pkg/api/errors; clients decide on reason and code.
 */

/** Why a request failed, in words that clients branch on. */
export type StatusReason =
  | "Unknown"
  | "Unauthorized"
  | "Forbidden"
  | "NotFound"
  | "AlreadyExists"
  | "Conflict"
  | "Gone"
  | "Invalid"
  | "ServerTimeout"
  | "StoreReadError"
  | "Timeout"
  | "TooManyRequests"
  | "BadRequest"
  | "MethodNotAllowed"
  | "NotAcceptable"
  | "RequestEntityTooLarge"
  | "UnsupportedMediaType"
  | "InternalError"
  | "Expired"
  | "ServiceUnavailable";

/** One cause among several, for instance one invalid field. `reason` is upstream's cause type ("FieldValueInvalid", …). */
export type StatusCause = { readonly reason?: string; readonly message?: string; readonly field?: string };

/** What the error is about. */
export type StatusDetails = {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly StatusCause[];
  readonly retryAfterSeconds?: number;
};

/** The Status object as it goes over the wire. */
export type Status = {
  readonly kind: "Status";
  readonly apiVersion: "v1";
  readonly metadata: { readonly resourceVersion?: string; readonly continue?: string };
  readonly status: "Success" | "Failure";
  readonly message?: string;
  readonly reason?: StatusReason;
  readonly details?: StatusDetails;
  readonly code: number;
};

/** What a StatusError is made of. `group` and `resource` (or kind) name what the request was about. */
export type StatusErrorInit = {
  readonly reason: StatusReason;
  readonly code: number;
  readonly message: string;
  readonly details?: StatusDetails;
  /** Where a list that expired may go on: metadata.continue of the Status. */
  readonly continueToken?: string;
  readonly cause?: unknown;
};

/** A request that the API refuses. Everything that leaves the API server as an error is one of these. */
export class StatusError extends Error {
  readonly kind = "StatusError";
  readonly reason: StatusReason;
  readonly code: number;
  readonly details: StatusDetails | undefined;
  readonly continueToken: string | undefined;

  constructor(init: StatusErrorInit) {
    super(init.message, init.cause === undefined ? undefined : { cause: init.cause });
    this.name = "StatusError";
    this.reason = init.reason;
    this.code = init.code;
    this.details = init.details;
    this.continueToken = init.continueToken;
  }

  /** The error as a Status object. */
  toStatus(): Status {
    return {
      kind: "Status",
      apiVersion: "v1",
      metadata: this.continueToken === undefined ? {} : { continue: this.continueToken },
      status: "Failure",
      message: this.message,
      // Upstream's word for it is none.
      ...(this.reason !== "Unknown" && { reason: this.reason }),
      ...(this.details === undefined ? {} : { details: this.details }),
      code: this.code,
    };
  }

  /** The error that a Status object from elsewhere stands for. */
  static fromStatus(status: Partial<Status>): StatusError {
    return new StatusError({
      reason: status.reason ?? "Unknown",
      code: status.code ?? 500,
      message: status.message ?? "unknown error",
      ...(status.details === undefined ? {} : { details: status.details }),
      ...(status.metadata?.continue === undefined ? {} : { continueToken: status.metadata.continue }),
    });
  }
}

/** True when `error` is a StatusError with this reason. */
export function hasReason(error: unknown, reason: StatusReason): error is StatusError {
  return error instanceof StatusError && error.reason === reason;
}

/** Names what a request is about: the resource ("pods") or, for field errors, the kind ("Pod"). */
export type Subject = { readonly group: string; readonly resource: string; readonly name: string };

/** 404: `pods "web" not found`. */
export function notFound(subject: Subject): StatusError {
  const message = `${qualified(subject)} "${subject.name}" not found`;
  return new StatusError({ reason: "NotFound", code: 404, message, details: detailsOf(subject) });
}

/** 409: `pods "web" already exists`. */
export function alreadyExists(subject: Subject): StatusError {
  const message = `${qualified(subject)} "${subject.name}" already exists`;
  return new StatusError({ reason: "AlreadyExists", code: 409, message, details: detailsOf(subject) });
}

/** 409: `Operation cannot be fulfilled on pods "web": …`. */
export function conflict(subject: Subject, why: string): StatusError {
  const message = `Operation cannot be fulfilled on ${qualified(subject)} "${subject.name}": ${why}`;
  return new StatusError({ reason: "Conflict", code: 409, message, details: detailsOf(subject) });
}

/** 403: `pods "web" is forbidden: …`; without a name `pods is forbidden: …`. */
export function forbidden(subject: Subject, why: string): StatusError {
  const what = subject.name === "" ? qualified(subject) : `${qualified(subject)} "${subject.name}"`;
  return new StatusError({
    reason: "Forbidden",
    code: 403,
    message: `${what} is forbidden: ${why}`,
    details: detailsOf(subject),
  });
}

/** 400 with the message as it is. */
export function badRequest(message: string): StatusError {
  return new StatusError({ reason: "BadRequest", code: 400, message });
}

/** 500: `Internal error occurred: …`. */
export function internalError(cause: unknown): StatusError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new StatusError({
    reason: "InternalError",
    code: 500,
    message: `Internal error occurred: ${message}`,
    details: { causes: [{ message }] },
    cause,
  });
}

function qualified(subject: Subject): string {
  return subject.group === "" ? subject.resource : `${subject.resource}.${subject.group}`;
}

function detailsOf(subject: Subject): StatusDetails {
  return {
    ...(subject.name === "" ? {} : { name: subject.name }),
    ...(subject.group === "" ? {} : { group: subject.group }),
    kind: subject.resource,
  };
}
