/**
 * URL paths of the API's resources, from their names.
 */
import type { ResourceRef } from "./client.ts";

/** "/api/v1/namespaces/default/pods/web/status", "/apis/apps/v1/deployments". Segments are percent-encoded. */
export function pathOf(ref: ResourceRef): string {
  const { group, version, resource } = ref.resource;
  const root = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
  const namespace = ref.namespace ? `/namespaces/${encodeURIComponent(ref.namespace)}` : "";
  const name = ref.name === undefined ? "" : `/${encodeURIComponent(ref.name)}`;
  const subresource = ref.subresource === undefined ? "" : `/${ref.subresource}`;
  return `${root}${namespace}/${resource}${name}${subresource}`;
}
