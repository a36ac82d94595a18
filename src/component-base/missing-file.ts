/**
 * Files that need not be there. What is there and cannot be read (no descriptors left, a broken disk) is another matter: whoever takes it for missing deletes what is needed.
 */

/** Whether a call failed because nothing of this name is there. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}

/** What the call gives, and `instead` where nothing of this name is there. Throws all other errors. */
export async function ifThere<T, U>(call: Promise<T>, instead: U): Promise<T | U> {
  try {
    return await call;
  } catch (error) {
    if (isMissing(error)) return instead;
    throw error;
  }
}
