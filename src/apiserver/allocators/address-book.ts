/**
 * The registry as the allocators see it: Services and IPAddress objects.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Registry } from "#apiserver/registry/registry.ts";
import type { ServiceAddressBook } from "./service-hooks.ts";

const LABELS = {
  "ipaddress.kubernetes.io/ip-family": "IPv4",
  "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
};

/** The address book of a registry. `nowText` gives the time of new objects, `newUid` their uid. */
export function createAddressBook(
  registry: () => Registry,
  made: { readonly nowText: () => string; readonly newUid: () => string },
): ServiceAddressBook {
  const addresses = () => {
    const resource = registry().parts.table.find("networking.k8s.io", "v1", "ipaddresses");
    return resource === undefined ? undefined : registry().storageOf(resource);
  };
  return {
    async services() {
      const services = registry().storageOf(registry().core("services"));
      const cache = await services.fresh();
      return cache
        .snapshot()
        .from(services.resource.prefix)
        .map((stored) => stored.object);
    },
    async hasAddress(ip) {
      return (await addresses()?.find("", ip)) !== undefined;
    },
    operation(ip, service) {
      const storage = addresses();
      if (storage === undefined) return undefined;
      if (service === undefined) return storage.deleteOperation("", ip);
      const metadata = {
        name: ip,
        uid: made.newUid(),
        creationTimestamp: made.nowText(),
        generation: 1,
        labels: LABELS,
      };
      const spec = { parentRef: { group: "", resource: "services", ...service } };
      return storage.createOperation("", ip, { metadata, spec } as KubeObject);
    },
  };
}
