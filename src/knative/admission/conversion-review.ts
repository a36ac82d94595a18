/**
 * Conversion reviews (apiextensions.k8s.io/v1): what the webhook of a part answers when an object is wanted in another version than it is kept in.
 */
import type { KubeObject } from "#apimachinery/meta.ts";

/** The object in another version, `apiVersion` and all. Throws when it cannot be said in it. */
export type ConvertObject = (object: KubeObject, apiVersion: string) => KubeObject;

export type ConversionReview = {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly request?: {
    readonly uid: string;
    readonly desiredAPIVersion: string;
    readonly objects: readonly KubeObject[];
  };
};

/** The review with its answer: all objects or none. */
export function answerConversion({ apiVersion, kind, request }: ConversionReview, convert: ConvertObject): object {
  if (request === undefined) throw new Error("the conversion review has no request");
  const { uid, desiredAPIVersion, objects } = request;
  const head = { apiVersion, kind };
  try {
    const convertedObjects = objects.map((object) =>
      object.apiVersion === desiredAPIVersion ? object : convert(object, desiredAPIVersion),
    );
    return { ...head, response: { uid, convertedObjects, result: { status: "Success" } } };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { ...head, response: { uid, convertedObjects: [], result: { status: "Failure", message } } };
  }
}
