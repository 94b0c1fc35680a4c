#!/usr/bin/env bash
# Prints the path of one Python for each supported version that this machine has, newest first.
# It looks on PATH, below pyenv's folder, and asks uv.
set -u

# Prints the interpreter's own path if it has version $2 and can make an environment. Each candidate is run, since pyenv
# has a shim for every version, selected or not. Pre-releases and free-threaded builds need other wheels: left out.
accept() {
  "$1" -c '
import ensurepip, sys, sysconfig
version = ".".join(map(str, sys.version_info[:2]))
fits = version == sys.argv[1] and sys.version_info.releaselevel == "final"
if not fits or sysconfig.get_config_var("Py_GIL_DISABLED"):
    sys.exit(1)
print(getattr(sys, "_base_executable", sys.executable))  # not that of an environment, which may be about to be replaced
' "$2" 2>/dev/null
}

candidates() {
  printf '%s\n' "python$1" python3 python
  ls -d "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python 2>/dev/null | sort -rV
  uv python find --no-project --system "$1" 2>/dev/null
}

for version in 3.14 3.13 3.12; do
  while read -r python; do
    accept "$python" "$version" && break
  done < <(candidates "$version")
done
exit 0
