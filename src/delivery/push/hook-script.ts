/**
 * The hook that Git runs before a push counts: it asks this process at descriptor 3, which it has from it, and repeats what it says. When this process is gone it hears the end,
 * and the push is refused.
 */

/** For `sh`. */
export const hookScript = `#!/bin/sh
# Made by nodeless. Tells what is pushed, and says what it hears.
printf '%s\\n' "$GIT_OBJECT_DIRECTORY" "$GIT_ALTERNATE_OBJECT_DIRECTORIES" >&3 || exit 1
cat >&3
printf 'end\\n' >&3
while IFS= read -r line <&3; do
  case $line in
    ok) exit 0 ;;
    no) exit 1 ;;
    *) printf '%s\\n' "\${line#|}" ;;
  esac
done
echo "nodeless went away: nothing has changed"
exit 1
`;
