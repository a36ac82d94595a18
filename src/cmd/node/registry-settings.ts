/**
 * How this machine reaches registries.
 */
import { readRegistriesFile } from "#images/registries-file.ts";
import type { RegistrySettings } from "#images/registry-client.ts";

/** As containerd, Docker and K3s find them: certificates of private registries in their folders, mirrors in a file, proxies in the environment. */
export async function registrySettings(environment: NodeJS.ProcessEnv): Promise<RegistrySettings> {
  const [http, https, no] = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"].map(
    (name) => environment[name] ?? environment[name.toLowerCase()],
  );
  return {
    ...(await readRegistriesFile(environment["NODELESS_REGISTRIES"] ?? "/etc/nodeless/registries.yaml")),
    certificateFolders: ["/etc/containers/certs.d", "/etc/docker/certs.d"],
    proxy: { ...(http && { http }), ...(https && { https }), ...(no && { no }) },
  };
}
