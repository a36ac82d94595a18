/**
 * What is done to containers from outside: probes and lifecycle hooks.
 */
import { type FieldError, forbiddenField, invalid, notSupported, required } from "#apimachinery/field-error.ts";
import type { Container, Lifecycle, LifecycleHandler, Probe } from "#api/generated/types/core-v1.ts";
import { isHttpHeaderName } from "#apimachinery/names.ts";
import { check, type Errors, nonNegative, oneOf, portNumberOrName } from "#api/field-rules.ts";

type Handler = Pick<Probe, "exec" | "httpGet" | "tcpSocket" | "grpc"> & Pick<LifecycleHandler, "sleep">;

const linuxSignals = new Set(
  "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX"
    .split(" ")
    .concat(Array.from({ length: 15 }, (_, index) => `RTMIN+${index + 1}`))
    .concat(Array.from({ length: 14 }, (_, index) => `RTMAX-${index + 1}`))
    .map((name) => `SIG${name}`),
);

/** The three probes of a container. */
export function validateProbes(
  field: string,
  container: Pick<Container, "livenessProbe" | "readinessProbe" | "startupProbe">,
): Errors {
  const { livenessProbe, readinessProbe, startupProbe } = container;
  const errors: FieldError[] = [];
  for (const [name, probe] of [
    ["livenessProbe", livenessProbe],
    ["startupProbe", startupProbe],
  ] as const) {
    if (!probe) continue;
    errors.push(...validateProbe(`${field}.${name}`, probe));
    if ((probe.successThreshold ?? 1) !== 1)
      errors.push(invalid(`${field}.${name}.successThreshold`, probe.successThreshold, "must be 1"));
  }
  if (readinessProbe) {
    errors.push(...validateProbe(`${field}.readinessProbe`, readinessProbe));
    const seconds = readinessProbe.terminationGracePeriodSeconds;
    if (seconds !== undefined) {
      errors.push(
        invalid(
          `${field}.readinessProbe.terminationGracePeriodSeconds`,
          seconds,
          "must not be set for readinessProbes",
        ),
      );
    }
  }
  return errors;
}

/** What runs at a container's start and end. */
export function validateLifecycle(
  field: string,
  { postStart, preStop, stopSignal }: Lifecycle,
  pod: { readonly graceSeconds: number | undefined; readonly os: string | undefined },
): Errors {
  return [
    ...(postStart ? validateHandler(`${field}.postStart`, postStart, pod.graceSeconds) : []),
    ...(preStop ? validateHandler(`${field}.preStop`, preStop, pod.graceSeconds) : []),
    ...(stopSignal ? validateStopSignal(`${field}.stopSignal`, stopSignal, pod.os) : []),
  ];
}

function validateProbe(field: string, probe: Probe): Errors {
  const seconds = probe.terminationGracePeriodSeconds;
  return [
    ...validateHandler(field, probe, undefined),
    ...nonNegative(`${field}.initialDelaySeconds`, probe.initialDelaySeconds),
    ...nonNegative(`${field}.timeoutSeconds`, probe.timeoutSeconds),
    ...nonNegative(`${field}.periodSeconds`, probe.periodSeconds),
    ...nonNegative(`${field}.successThreshold`, probe.successThreshold),
    ...nonNegative(`${field}.failureThreshold`, probe.failureThreshold),
    ...(seconds !== undefined && seconds <= 0
      ? [invalid(`${field}.terminationGracePeriodSeconds`, seconds, "must be greater than 0")]
      : []),
  ];
}

function validateHandler(field: string, handler: Handler, graceSeconds: number | undefined): Errors {
  const kinds = (["exec", "httpGet", "tcpSocket", "grpc", "sleep"] as const).filter((kind) => handler[kind]);
  const [first, ...others] = kinds;
  if (first === undefined) return [required(field, "must specify a handler type")];
  return [
    ...validateAction(`${field}.${first}`, handler, first, graceSeconds),
    ...others.map((kind) => forbiddenField(`${field}.${kind}`, "may not specify more than 1 handler type")),
  ];
}

function validateAction(
  field: string,
  handler: Handler,
  kind: keyof Handler,
  graceSeconds: number | undefined,
): Errors {
  switch (kind) {
    case "exec":
      return handler.exec?.command?.length ? [] : [required(`${field}.command`)];
    case "httpGet":
      return validateHttpGet(field, handler.httpGet as NonNullable<Handler["httpGet"]>);
    case "tcpSocket":
      return portNumberOrName(`${field}.port`, handler.tcpSocket?.port);
    case "grpc":
      return portNumberOrName(`${field}.port`, handler.grpc?.port);
    case "sleep":
      return validateSleep(field, handler.sleep?.seconds ?? 0, graceSeconds);
  }
}

function validateHttpGet(
  field: string,
  { path, port, scheme, httpHeaders = [] }: NonNullable<Handler["httpGet"]>,
): Errors {
  return [
    ...(path ? [] : [required(`${field}.path`)]),
    ...portNumberOrName(`${field}.port`, port),
    ...oneOf(`${field}.scheme`, scheme ?? "", ["HTTP", "HTTPS"]),
    ...httpHeaders.flatMap(({ name }) => check(`${field}.httpHeaders`, name, isHttpHeaderName)),
  ];
}

function validateSleep(field: string, seconds: number, graceSeconds: number | undefined): Errors {
  if (graceSeconds === undefined || (seconds >= 0 && seconds <= graceSeconds)) return [];
  return [
    invalid(field, seconds, `must be non-negative and less than terminationGracePeriodSeconds (${graceSeconds})`),
  ];
}

function validateStopSignal(field: string, signal: string, os: string | undefined): Errors {
  if (os === undefined) return [forbiddenField(field, "may not be set for containers with empty `spec.os.name`")];
  const supported = os === "windows" ? ["SIGKILL", "SIGTERM"] : [...linuxSignals];
  return supported.includes(signal) ? [] : [notSupported(field, signal, supported)];
}
