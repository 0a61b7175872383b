# What tools/quickstart and tests/run share; sourced by both.
#
# Debian packages, by what needs them:
deps_library="cmake make gcc libc6-dev pkg-config liblmdb-dev libmsgpack-dev libxxhash-dev"
deps_tools="libjson-c-dev"
deps_bench="libsqlite3-dev"
deps_tests="g++ libcriterion-dev python3 mandoc"
deps_style="clang-format clang-tidy"

# need PACKAGE...: install those that are missing, and say so. Returns 1 if that cannot be done.
need() {
    local missing="" as_root="" package
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        echo "Not a Debian: these packages, or what they are called here, must be there: $*"
        return 0
    fi
    for package in "$@"; do
        case $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) in
        installed) ;;
        *) missing="$missing $package" ;;
        esac
    done
    if [ -z "$missing" ]; then
        echo "All packages are there, nothing to install."
        return 0
    fi
    if [ "$(id -u)" != 0 ]; then
        as_root=sudo
        if ! command -v sudo >/dev/null; then
            echo "Neither root nor sudo. As root: apt-get install$missing" >&2
            return 1
        fi
    fi
    echo "Installing:$missing"
    # shellcheck disable=SC2086 # words of a list
    $as_root apt-get update -qq &&
        $as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# compile LOG DIR TARGET OPTION...: configure and build from the top of the tree. What is left out
# is said; all the rest goes to LOG, and what matters of it is shown if it fails.
compile() {
    local log=$1 dir=$2 target=$3
    shift 3
    if cmake -S . -B "$dir" "$@" >"$log" 2>&1 &&
        cmake --build "$dir" -j "$(nproc)" --target "$target" >>"$log" 2>&1; then
        sed -n 's/^-- \(.*left out.*\)/\1/p' "$log"
        return 0
    fi
    sed '/^\[ *[0-9]*%\]/d; /^-- /d' "$log"
    return 1
}
