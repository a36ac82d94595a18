/**
 * A container's environment: Services, whole ConfigMaps and Secrets, single keys, fields of the pod, files. Later ones may refer to earlier ones by `$(NAME)`. Order of
 * precedence and messages as pkg/kubelet/kubelet_pods.go makeEnvironmentVariables, v1.36.
 */
import type { Container, EnvFromSource, EnvVar, Pod } from "#api/generated/types/core-v1.ts";
import { ContainerError } from "#kubelet/container-runtime.ts";
import type { PodObjects } from "#kubelet/pod-objects.ts";
import { valueInEnvFile } from "./env-file.ts";
import { expand } from "./expansion.ts";
import { podFieldValue, resourceFieldValue } from "./fields.ts";
import type { PodFacts } from "./fields.ts";
import { serviceVariables } from "./services.ts";

/** What a container's environment is made from. */
export type EnvironmentSources = {
  readonly objects: PodObjects;
  readonly facts: PodFacts;
  /** Text of a file in a volume of the pod; links that lead out of the volume are refused. Throws when it cannot be read. */
  readonly readVolumeFile: (volumeName: string, path: string) => Promise<string>;
};

/** Name and value; each name once. */
export type Variables = ReadonlyMap<string, string>;

/** All variables of the container. Throws {@link ContainerError} CreateContainerConfigError when one cannot be had. */
export async function environmentOf(pod: Pod, container: Container, sources: EnvironmentSources): Promise<Variables> {
  const namespace = pod.metadata?.namespace ?? "";
  const services = await sources.objects.services();
  const fromServices = serviceVariables(services, namespace, pod.spec?.enableServiceLinks ?? true);
  const variables = new Map<string, string>();
  for (const source of container.envFrom ?? []) {
    const data = await dataOf(source, namespace, sources.objects);
    for (const [key, value] of Object.entries(data)) variables.set(`${source.prefix ?? ""}${key}`, value);
  }
  const lookup = (name: string) => variables.get(name) ?? fromServices[name];
  for (const variable of container.env ?? []) {
    const value = await valueOf(variable, { pod, container, sources, lookup });
    if (value !== undefined) variables.set(variable.name, value);
  }
  for (const [name, value] of Object.entries(fromServices)) if (!variables.has(name)) variables.set(name, value);
  return variables;
}

type Context = {
  readonly pod: Pod;
  readonly container: Container;
  readonly sources: EnvironmentSources;
  readonly lookup: (name: string) => string | undefined;
};

/** undefined: optional and not there, so the variable is not set at all. */
async function valueOf(variable: EnvVar, context: Context): Promise<string | undefined> {
  if (variable.value) return expand(variable.value, context.lookup);
  const from = variable.valueFrom;
  const namespace = context.pod.metadata?.namespace ?? "";
  const { objects, facts } = context.sources;
  if (!from) return "";
  if (from.configMapKeyRef) {
    const { name = "", key, optional } = from.configMapKeyRef;
    const data = await configMapData(objects, namespace, name, optional);
    return pick(data, key, optional, `couldn't find key ${key} in ConfigMap ${namespace}/${name}`);
  }
  if (from.secretKeyRef) {
    const { name = "", key, optional } = from.secretKeyRef;
    const data = await secretData(objects, namespace, name, optional);
    return pick(data, key, optional, `couldn't find key ${key} in Secret ${namespace}/${name}`);
  }
  try {
    if (from.fieldRef) return podFieldValue(context.pod, from.fieldRef, facts);
    if (from.resourceFieldRef) return resourceFieldValue(context.pod, context.container, from.resourceFieldRef, facts);
  } catch (cause) {
    throw refused(cause instanceof Error ? cause.message : String(cause), cause);
  }
  return from.fileKeyRef ? fileValue(from.fileKeyRef, context) : "";
}

async function fileValue(
  selector: NonNullable<NonNullable<EnvVar["valueFrom"]>["fileKeyRef"]>,
  { sources }: Context,
): Promise<string | undefined> {
  const { volumeName, path, key, optional } = selector;
  let value: string;
  try {
    value = valueInEnvFile(await sources.readVolumeFile(volumeName, path), key);
  } catch (cause) {
    throw refused("couldn't parse env file", cause);
  }
  if (value !== "") return value;
  if (optional) return undefined;
  throw refused(`environment variable key ${JSON.stringify(key)} not found in file ${JSON.stringify(path)}`);
}

async function dataOf(
  source: EnvFromSource,
  namespace: string,
  objects: PodObjects,
): Promise<Readonly<Record<string, string>>> {
  const { configMapRef, secretRef } = source;
  if (configMapRef) {
    return (await configMapData(objects, namespace, configMapRef.name ?? "", configMapRef.optional)) ?? {};
  }
  if (secretRef) return (await secretData(objects, namespace, secretRef.name ?? "", secretRef.optional)) ?? {};
  return {};
}

async function configMapData(
  objects: PodObjects,
  namespace: string,
  name: string,
  optional: boolean | undefined,
): Promise<Readonly<Record<string, string>> | undefined> {
  const configMap = await objects.configMap(namespace, name);
  if (!configMap && !optional) throw refused(`configmap ${JSON.stringify(name)} not found`);
  return configMap && (configMap.data ?? {});
}

async function secretData(
  objects: PodObjects,
  namespace: string,
  name: string,
  optional: boolean | undefined,
): Promise<Readonly<Record<string, string>> | undefined> {
  const secret = await objects.secret(namespace, name);
  if (!secret && !optional) throw refused(`secret ${JSON.stringify(name)} not found`);
  const entries = Object.entries(secret?.data ?? {});
  return (
    secret && Object.fromEntries(entries.map(([key, value]) => [key, Buffer.from(value, "base64").toString("utf8")]))
  );
}

function pick(
  data: Readonly<Record<string, string>> | undefined,
  key: string,
  optional: boolean | undefined,
  otherwise: string,
): string | undefined {
  const value = data !== undefined && Object.hasOwn(data, key) ? data[key] : undefined;
  if (value === undefined && !optional) throw refused(otherwise);
  return value;
}

function refused(message: string, cause?: unknown): ContainerError {
  return new ContainerError("CreateContainerConfigError", message, cause === undefined ? undefined : { cause });
}
