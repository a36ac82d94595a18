/**
 * RuntimeClasses. As pkg/apis/node/validation.
 */
import type { RuntimeClass } from "#api/generated/types/node-v1.ts";
import type { KindStrategy } from "#api/strategy.ts";
import { messagesAt, validateImmutable } from "#api/validation.ts";
import { required } from "#apimachinery/field-error.ts";
import { isDns1123Label } from "#apimachinery/names.ts";

export const runtimeClassStrategy: KindStrategy<RuntimeClass> = {
  allowsCreateOnUpdate: true,
  allowsUnconditionalUpdate: false,
  validate: ({ handler }) =>
    handler ? messagesAt("handler", handler, isDns1123Label(handler)) : [required("handler")],
  validateUpdate: ({ handler }, old) => validateImmutable("handler", handler, old.handler),
};
