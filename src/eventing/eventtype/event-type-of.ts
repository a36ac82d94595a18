/**
 * The EventType that an event shows to exist, for who takes events while the feature `eventtype-auto-create` is on. As upstream's `pkg/eventtype/eventtypes.go` (v1.22).
 */
import { createHash } from "node:crypto";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { CloudEvent } from "#eventing/cloudevents/cloud-event.ts";
import type { EventType } from "#eventing/kinds.ts";
import { eventingGroup } from "#eventing/names.ts";

const longestName = 253;

/** The EventType of the event at `addressable`, whose it is. */
export function eventTypeOf(event: CloudEvent, addressable: KubeObject): EventType {
  const { apiVersion = "", kind = "", metadata = {} } = addressable;
  const { name = "", namespace = "", uid = "" } = metadata;
  const attribute = (key: string) => String(event.attributes.get(key) ?? "");
  const value = (key: string, from = key) => {
    const text = attribute(from);
    return { name: key, required: true, ...(text === "" ? {} : { value: text }) };
  };
  return {
    apiVersion: `${eventingGroup}/v1beta3`,
    kind: "EventType",
    metadata: {
      name: nameOf(`${attribute("type")}${attribute("source")}${namespace}${name}`, name),
      namespace,
      ownerReferences: [{ apiVersion, kind, name, uid }],
    },
    spec: {
      attributes: [
        value("type"),
        value("source"),
        value("schemadata", "dataschema"),
        value("specversion"),
        { name: "id", required: true },
      ],
      reference: { apiVersion, kind, name, namespace },
      description: "Event Type auto-created by controller",
    },
  };
}

function nameOf(identity: string, name: string): string {
  const hash = createHash("md5").update(identity).digest("hex");
  const head = `et-${name}`.slice(0, longestName - hash.length - 1);
  return `${head}-${hash}`;
}
