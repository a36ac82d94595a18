/**
 * EventTypes between v1beta3, where attributes are a list and as which they are kept, and v1beta1 and v1beta2, where each has a field. As upstream's `pkg/apis/eventing/v1beta2/eventtype_conversion.go` (v1.22).
 */
import { type KubeObject, parseApiVersion } from "#apimachinery/meta.ts";
import type { EventAttribute, EventType } from "#eventing/kinds.ts";
import { eventingGroup } from "#eventing/names.ts";
import type { KReference } from "#knative/destination.ts";

type OldEventType = KubeObject & {
  readonly spec?: {
    readonly broker?: string;
    readonly reference?: KReference;
    readonly description?: string;
    readonly type?: string;
    readonly source?: string;
    readonly schema?: string;
  };
};

/** The object in another version. Throws when it is no EventType. */
export function convertEventType(object: KubeObject, apiVersion: string): KubeObject {
  const { group, version } = parseApiVersion(apiVersion);
  if (object.kind !== "EventType" || group !== eventingGroup)
    throw new Error(`${object.apiVersion} ${object.kind} cannot be had in ${apiVersion}`);
  const isOld = parseApiVersion(object.apiVersion ?? "").version !== "v1beta3";
  if (version !== "v1beta3") return isOld ? { ...object, apiVersion } : toOld(object, apiVersion);
  return isOld ? toNew(object, apiVersion) : { ...object, apiVersion };
}

function toNew(object: OldEventType, apiVersion: string): EventType {
  const { broker, reference, description, type, source, schema } = object.spec ?? {};
  const named = broker ? { kind: "Broker", name: broker, apiVersion: `${eventingGroup}/v1` } : undefined;
  const to = reference ?? named;
  const attributes: EventAttribute[] = [
    { name: "specversion", required: true },
    { name: "id", required: true },
    { name: "type", required: true, ...(type ? { value: type } : {}) },
    { name: "source", required: true, ...(source ? { value: source } : {}) },
    ...(schema ? [{ name: "schemadata", required: false, value: schema }] : []),
  ];
  return {
    ...object,
    apiVersion,
    spec: {
      ...(to === undefined ? {} : { reference: to }),
      ...(description === undefined ? {} : { description }),
      attributes,
    },
  };
}

function toOld(object: EventType, apiVersion: string): OldEventType {
  const { reference, description, attributes = [] } = object.spec ?? {};
  const valueOf = (name: string) => attributes.find((one) => one.name === name)?.value;
  const [type, source, schema] = [valueOf("type"), valueOf("source"), valueOf("schemadata")];
  return {
    ...object,
    apiVersion,
    spec: {
      ...(reference === undefined ? {} : { reference }),
      ...(description === undefined ? {} : { description }),
      ...(type === undefined ? {} : { type }),
      ...(source === undefined ? {} : { source }),
      ...(schema === undefined ? {} : { schema }),
    },
  };
}
