/**
 * What holds for every source: a sink, and overrides that can be attributes. As upstream's `duckv1.SourceSpec`.
 */
import { type EventingAdmissionContext, namespaceOf, referenceRules } from "#eventing/admission/context.ts";
import type { Source, SourceSpec } from "#eventing/sources/kinds.ts";
import { type FieldError, invalidKeyName, viaField } from "#knative/admission/field-error.ts";
import { validateDestination, withDestinationDefaults } from "#knative/destination.ts";

/** The source with its sink in the namespace it means. */
export function withSinkDefaults<T extends Source>(source: T): T {
  const { spec } = source;
  if (spec?.sink === undefined) return source;
  return { ...source, spec: { ...spec, sink: withDestinationDefaults(spec.sink, namespaceOf(source)) } };
}

/** What is wrong with the sink and the overrides. Paths are relative to the spec. */
export function validateSourceSpec(spec: SourceSpec, context: EventingAdmissionContext): readonly FieldError[] {
  return [
    ...viaField("sink", validateDestination(spec.sink ?? {}, referenceRules(context))),
    ...viaField("ceOverrides", viaField("extensions", validateExtensions(spec))),
  ];
}

function validateExtensions({ ceOverrides }: SourceSpec): readonly FieldError[] {
  return Object.keys(ceOverrides?.extensions ?? {})
    .filter((name) => !/^[a-z0-9]+$/.test(name) || name === "data")
    .map((name) =>
      invalidKeyName(name, name, "keys are expected to be alphanumeric and lower case, and none may be called data"),
    );
}
