/**
 * ConfigMap kube-system/extension-apiserver-authentication: what aggregated API servers (metrics-server and others) need to know whom this server lets in, and to believe it when it names a user.
 */
import type { ConfigMap } from "#api/generated/types/core-v1.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";

const configMaps = { group: "", version: "v1", resource: "configmaps" } as const;
const namespace = "kube-system";
const name = "extension-apiserver-authentication";

/** Makes the ConfigMap, or brings it up to date. The CAs are PEM. */
export async function publishAuthenticationConfig(
  client: Client,
  { clientCa, frontProxyCa }: { readonly clientCa: string; readonly frontProxyCa: string },
): Promise<void> {
  const data = {
    "client-ca-file": clientCa,
    "requestheader-allowed-names": '["front-proxy-client"]',
    "requestheader-client-ca-file": frontProxyCa,
    "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
    "requestheader-group-headers": '["X-Remote-Group"]',
    "requestheader-uid-headers": '["X-Remote-Uid"]',
    "requestheader-username-headers": '["X-Remote-User"]',
  };
  try {
    const found = await client.get<ConfigMap>({ resource: configMaps, namespace, name });
    if (Object.entries(data).every(([key, text]) => found.data?.[key] === text)) return;
    await client.update({ resource: configMaps, namespace, name }, { ...found, data: { ...found.data, ...data } });
  } catch (error) {
    if (!hasReason(error, "NotFound")) throw error;
    await client.create<ConfigMap>({ resource: configMaps, namespace }, { metadata: { name, namespace }, data });
  }
}
