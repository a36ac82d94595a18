/**
 * What there is in group `events.nodeless.dev`, as clients and the API server ask for it.
 */
export const group = "events.nodeless.dev";
export const version = "v1";

const resources: readonly { readonly name: string; readonly kind: string; readonly verbs: readonly string[] }[] = [
  ...["brokers", "inmemorychannels"].flatMap((topic) => [
    { name: `${topic}/events`, kind: "EventList", verbs: ["get", "create"] },
    { name: `${topic}/dead`, kind: "DeadEventList", verbs: ["get"] },
  ]),
  ...["triggers", "subscriptions"].flatMap((subscription) => [
    { name: `${subscription}/delivery`, kind: "Delivery", verbs: ["get"] },
    { name: `${subscription}/replay`, kind: "Replay", verbs: ["create"] },
  ]),
  { name: "deliveries", kind: "Delivery", verbs: ["list"] },
];

/** The document at this path, if it is one of discovery. */
export function discoveryDocument(path: string): object | undefined {
  const versions = [{ groupVersion: `${group}/${version}`, version }];
  const apiGroup = { name: group, versions, preferredVersion: versions[0] };
  if (path === "/apis") return { kind: "APIGroupList", apiVersion: "v1", groups: [apiGroup] };
  if (path === `/apis/${group}`) return { kind: "APIGroup", apiVersion: "v1", ...apiGroup };
  if (path !== `/apis/${group}/${version}`) return undefined;
  const list = resources.map((one) => ({ ...one, singularName: "", namespaced: true }));
  return { kind: "APIResourceList", apiVersion: "v1", groupVersion: `${group}/${version}`, resources: list };
}
