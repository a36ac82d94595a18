/**
 * Errors of reads and writes that several handlers share, in upstream's words.
 */
import { StatusError, type Subject } from "#apimachinery/status-error.ts";
import type { ServedResource } from "./served-resource.ts";

/** Names an object of a resource in errors. */
export function subjectOf(resource: ServedResource, name: string): Subject {
  return { group: resource.group, resource: resource.resource, name };
}

/** 410: watches and lists of a past that is gone. */
export function expired(message: string): StatusError {
  return new StatusError({ reason: "Expired", code: 410, message });
}

/** 504 for a resourceVersion that has not happened yet; the client should try again. */
export function tooLargeResourceVersion(asked: number, current: number): StatusError {
  const details = {
    causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
    retryAfterSeconds: 1,
  };
  const message = `Timeout: Too large resource version: ${asked}, current: ${current}`;
  return new StatusError({ reason: "Timeout", code: 504, message, details });
}

/** 405: `the server does not allow this method on the requested resource`. */
export function methodNotSupported(
  resource: { readonly group: string; readonly resource: string },
  verb: string,
): StatusError {
  const name = resource.group === "" ? resource.resource : `${resource.resource}.${resource.group}`;
  return new StatusError({
    reason: "MethodNotAllowed",
    code: 405,
    message: `${verb} is not supported on resources of kind "${name}"`,
    details: { ...(resource.group === "" ? {} : { group: resource.group }), kind: resource.resource },
  });
}

/** 404 for a path that nothing serves. */
export function pathNotFound(): StatusError {
  return new StatusError({
    reason: "NotFound",
    code: 404,
    message: "the server could not find the requested resource",
    details: {},
  });
}
