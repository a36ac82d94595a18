/**
 * For tests in which nobody asks for an object in another version than it is kept in.
 */
import type { Converter } from "#knative/crds/definition.ts";

export const noConverter: Converter = { url: "https://127.0.0.1:1/", ca: "" };
