/**
 * The order of an API group's versions: stable before beta before alpha, higher before lower, anything else last by name. As apimachinery's pkg/version CompareKubeAwareVersionStrings.
 */

/** Below 0 when `left` comes first in discovery. */
export function compareVersions(left: string, right: string): number {
  const a = parseVersion(left);
  const b = parseVersion(right);
  if (a === undefined || b === undefined) {
    if (a === undefined && b === undefined) return left < right ? -1 : left > right ? 1 : 0;
    return a === undefined ? 1 : -1;
  }
  return b.stability - a.stability || b.major - a.major || b.minor - a.minor;
}

function parseVersion(
  text: string,
): { readonly major: number; readonly stability: number; readonly minor: number } | undefined {
  const parts = /^v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?$/.exec(text);
  if (parts === null) return undefined;
  const [, major, stage, minor] = parts;
  return {
    major: Number(major),
    stability: stage === undefined ? 3 : stage === "beta" ? 2 : 1,
    minor: Number(minor ?? 0),
  };
}
