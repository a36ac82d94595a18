/**
 * How registries are reached, as the administrator of the machine says it in registries.yaml. The format is that of K3s and RKE2:
 *
 *     mirrors:
 *       docker.io: { endpoint: ["https://mirror.example.com:5000"] }    # "*" stands for every registry that is not named
 *     configs:
 *       mirror.example.com:5000:
 *         auth: { username: me, password: secret }
 *         tls: { ca_file: /etc/ssl/mirror.pem, cert_file: …, key_file: …, insecure_skip_verify: false }
 */
import { readFile } from "node:fs/promises";
import type { Credential } from "./credentials.ts";
import { RegistryError, type HostTls, type RegistrySettings } from "./registry-client.ts";

type Fields = Readonly<Record<string, unknown>>;

/** Reads the file; one that is not there says nothing. Throws {@link RegistryError} for one that cannot be understood. */
export async function readRegistriesFile(path: string): Promise<RegistrySettings> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw unusable(path, (error as Error).message, error);
  }
  const { parse } = await import("yaml");
  try {
    return settingsOf(parse(text) ?? {});
  } catch (error) {
    throw unusable(path, (error as Error).message, error);
  }
}

function unusable(path: string, why: string, cause: unknown): RegistryError {
  return new RegistryError("protocol", `cannot use ${path}: ${why.split("\n")[0]}`, { cause });
}

function settingsOf(document: unknown): RegistrySettings {
  const { mirrors, configs, ...others } = fieldsOf(document, "the file");
  refuseOthers(others, "the file");
  const hosts = Object.entries(fieldsOf(configs ?? {}, "configs")).map(
    ([host, config]) => [host, fieldsOf(config, `configs.${host}`)] as const,
  );
  return {
    mirrors: Object.fromEntries(
      Object.entries(fieldsOf(mirrors ?? {}, "mirrors")).map(([registry, mirror]) => [
        registry,
        endpoints(registry, mirror),
      ]),
    ),
    hosts: Object.fromEntries(hosts.map(([host, { tls }]) => [host, hostTls(tls ?? {}, `configs.${host}.tls`)])),
    credentials: hosts.flatMap(([host, { auth }]) => (auth ? [credential(host, auth)] : [])),
  };
}

function endpoints(registry: string, mirror: unknown): readonly string[] {
  const { endpoint = [] } = fieldsOf(mirror, `mirrors.${registry}`);
  const urls = Array.isArray(endpoint) ? (endpoint as unknown[]) : [endpoint];
  return urls.map((url) => {
    if (typeof url !== "string" || !/^https?:\/\/[^/]/.test(url))
      throw new Error(`mirrors.${registry}.endpoint must be URLs with http:// or https://`);
    return url;
  });
}

function hostTls(tls: unknown, where: string): HostTls {
  const { ca_file, cert_file, key_file, insecure_skip_verify, ...others } = fieldsOf(tls, where);
  refuseOthers(others, where);
  return {
    ...(ca_file === undefined ? {} : { caFile: String(ca_file) }),
    ...(cert_file === undefined ? {} : { certificateFile: String(cert_file) }),
    ...(key_file === undefined ? {} : { keyFile: String(key_file) }),
    ...(insecure_skip_verify === true ? { skipsVerification: true } : {}),
  };
}

function credential(registry: string, auth: unknown): Credential {
  const { username, password, identity_token, auth: pair } = fieldsOf(auth, `configs.${registry}.auth`);
  const [name, ...rest] = typeof pair === "string" ? Buffer.from(pair, "base64").toString().split(":") : [];
  const user = username ?? name;
  const secret = password ?? (pair === undefined ? undefined : rest.join(":"));
  return {
    registry,
    ...(user === undefined ? {} : { username: String(user) }),
    ...(secret === undefined ? {} : { password: String(secret) }),
    ...(identity_token === undefined ? {} : { identityToken: String(identity_token) }),
  };
}

function fieldsOf(value: unknown, where: string): Fields {
  if (value !== null && typeof value === "object" && !Array.isArray(value)) return value as Fields;
  throw new Error(`${where} must be a map`);
}

function refuseOthers(others: Fields, where: string): void {
  const [name] = Object.keys(others);
  if (name !== undefined) throw new Error(`${where} has an unknown field ${JSON.stringify(name)}`);
}
