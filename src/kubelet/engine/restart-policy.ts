/**
 * Whether a container that ended is started again: its own rules, then its own policy, then the pod's. As pkg/api/v1/pod ContainerShouldRestart, v1.36.
 */
import type { Container, ContainerRestartRule, Pod } from "#api/generated/types/core-v1.ts";

/** True when the container is to be started again after it ended with this code. */
export function shouldRestart(pod: Pod, container: Container, exitCode: number): boolean {
  const action = matchingRule(container, exitCode)?.action;
  if (action === "Restart" || action === "RestartAllContainers") return true;
  return policyRestarts(container.restartPolicy ?? pod.spec?.restartPolicy ?? "Always", exitCode);
}

/** True when this end of a container begins the whole pod anew (restartPolicyRules with RestartAllContainers). */
export function restartsAll(container: Container, exitCode: number): boolean {
  return matchingRule(container, exitCode)?.action === "RestartAllContainers";
}

/** True when some container has such a rule. */
export function couldRestartAll(pod: Pod): boolean {
  const all = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  return all.some((it) => (it.restartPolicyRules ?? []).some((rule) => rule.action === "RestartAllContainers"));
}

/** True when a container that is stopped for a failed probe is started again. */
export function restartsAfterKill(pod: Pod, container: Container): boolean {
  return (container.restartPolicy ?? pod.spec?.restartPolicy) !== "Never";
}

function policyRestarts(policy: string, exitCode: number): boolean {
  if (policy === "Never") return false;
  return policy === "OnFailure" ? exitCode !== 0 : true;
}

function matchingRule(container: Container, exitCode: number): ContainerRestartRule | undefined {
  if (container.restartPolicy === undefined) return undefined;
  return (container.restartPolicyRules ?? []).find(({ exitCodes }) => {
    if (!exitCodes) return false;
    const isListed = (exitCodes.values ?? []).includes(exitCode);
    return exitCodes.operator === "In" ? isListed : exitCodes.operator === "NotIn" && !isListed;
  });
}

/** False when every main container has ended for good, by their last exit codes; a container without one has yet to run. */
export function restartsSomething(pod: Pod, exitCodeOf: (name: string) => number | undefined): boolean {
  return (pod.spec?.containers ?? []).some((container) => {
    const exitCode = exitCodeOf(container.name);
    return exitCode === undefined || shouldRestart(pod, container, exitCode);
  });
}
