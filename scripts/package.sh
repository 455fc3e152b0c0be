#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Makes what a lab installs, an archive that runs from any folder and Debian packages, and checks them.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<TEXT
usage: scripts/package.sh [options]

Installs missing Debian packages, builds, and writes vitrine-VERSION-Linux-MACHINE.tar.gz, which has its
libraries inside and runs from any folder, vitrine_VERSION_MACHINE.deb (the command) and
libvitrine-dev_VERSION_MACHINE.deb (the shared libraries). Then unpacks each, runs the command there,
and refuses an archive that loads a library from elsewhere.

  --out DIR      write them there (default: dist/)
  --chroot DIR   also install and run them in the Debian system in DIR, which debootstrap makes where
                 there is none; needs root
  --no-build     package what the build folder has
  --cuda MODE    auto: with the CUDA backend if a toolkit is found (default); on; off
  --jobs N       compile this many files at a time (default: the number of cores)
  --build DIR    build there (default: build-package/)
  --no-install   install no Debian packages
TEXT
}

OUT='' CHROOT='' COMPILE=1
# shellcheck disable=SC2034
parse_own_option() {
  case $1 in
    --no-build) COMPILE=0 TAKEN=1 ;;
    --out | --chroot)
      (($# >= 2)) || usage_error "$1 needs a value"
      if [[ $1 == --out ]]; then OUT=$2; else CHROOT=$2; fi
      TAKEN=2
      ;;
  esac
}

# check_command ROOT HOW...: version, demo, page and doctor of the command, which is bin/vitrine in ROOT as HOW sees it.
check_command() {
  local vitrine=$1/bin/vitrine how=("${@:2}") said prompt="Heathrow airport is located in the city of"
  said=$("${how[@]}" "$vitrine" --version) || die "failed: $vitrine --version"
  [[ $said == "vitrine $VERSION"$'\n'commit*compiler*backends* ]] || die "$vitrine --version says: $said"
  said=$("${how[@]}" "$vitrine" lens --prompt "$prompt" --watch " London" --html /tmp/vitrine-page.html) ||
    die "failed: $vitrine lens"
  [[ $said == *London* ]] || die "$vitrine lens says: $said"
  said=$("${how[@]}" cat /tmp/vitrine-page.html) || die "missing the page of $vitrine lens"
  [[ $said == *"<html"*London*"</html>"* ]] || die "the page of $vitrine lens is incomplete"
  "${how[@]}" rm /tmp/vitrine-page.html
  said=$("${how[@]}" "$vitrine" doctor --width 0) || die "failed: $vitrine doctor"
  [[ $said == *"demo: ${1%/}/share/vitrine/models/demo"* ]] || die "$vitrine doctor found no model of its own: $said"
}

# check_archive FOLDER: the archive, unpacked below a name with a space, without what this system has.
check_archive() {
  local root
  mkdir "$1/a folder"
  tar -xzf "$ARCHIVE" -C "$1/a folder"
  root=$(echo "$1/a folder"/*)
  check_command "$root" env -i
  run_alone "$root" bin/vitrine lens --prompt "The keys" --png "$1/page.png" >/dev/null
  [[ -s $1/page.png ]] || die "the archive draws no figure"
  run_alone "$root" bin/vitrine bench --model demo --workload forward --hooks none --prompt 8 --repeat 1 >/dev/null
  [[ -s $root/lib/vitrine/libcairo2.copyright ]] || die "the archive lacks the licences of its libraries"
  grep -q 'TH VITRINE 1 ' "$root/share/man/man1/vitrine.1" || die "the archive has no manual page"
}

# check_debs FOLDER: what the packages declare, and that the command runs where it was unpacked.
check_debs() {
  local field file deb=${DEBS[0]}
  field=$(dpkg-deb -f "$deb" Depends)
  # Each library that the program was linked with comes from a package that is named.
  for file in $(readelf -d "$BUILD/cli/vitrine" | sed -nE 's/.*\(NEEDED\).*\[(lib[a-z0-9-]*[a-z]).*/\1/p'); do
    [[ $field == *"$file"* || $file == libm ]] || die "$deb depends on no package of $file: $field"
  done
  [[ $(dpkg-deb -f "${DEBS[1]}" Depends) == *"vitrine (= $VERSION)"* ]] || die "${DEBS[1]} does not depend on vitrine"
  dpkg-deb -x "$deb" "$1/deb"
  for file in bin/vitrine bin/vitrine-bench share/man/man1/vitrine.1 share/bash-completion/completions/vitrine \
    share/zsh/site-functions/_vitrine share/fish/vendor_completions.d/vitrine.fish; do
    [[ -s $1/deb/usr/$file ]] || die "$deb lacks usr/$file"
  done
  file=$(find "$1/deb" -mindepth 1 -not -path "$1/deb/usr*")
  [[ ! $file ]] || die "$deb has files outside usr: $file"
  file=$(find "$1/deb" -name '*.a' -o -name '*.so*')
  [[ ! $file ]] || die "$deb has libraries: $file"
  check_command "$1/deb/usr" env -i
}

# in_chroot COMMAND...: in the Debian system CHROOT, with /proc, which is gone again when the command ends.
in_chroot() {
  # shellcheck disable=SC2016
  unshare --mount sh -c 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"' "$CHROOT" \
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive "$@"
}

check_in_chroot() {
  local log
  log=$(mktemp)
  if [[ ! -e $CHROOT/bin/sh ]]; then
    say "Making a Debian system in $CHROOT"
    debootstrap --variant=minbase bookworm "$CHROOT" http://deb.debian.org/debian >"$log" 2>&1 ||
      die "debootstrap failed: $(tail -n 1 "$log")"
  fi
  rm -rf "$CHROOT/opt/vitrine"
  mkdir -p "$CHROOT/opt/vitrine"
  tar -xzf "$ARCHIVE" -C "$CHROOT/opt/vitrine" --strip-components 1
  in_chroot sh -c '! command -v vitrine' >/dev/null || in_chroot apt-get -q -y purge vitrine >"$log" 2>&1
  check_command /opt/vitrine in_chroot
  say "The archive runs in $CHROOT"
  cp "${DEBS[@]}" "$CHROOT/tmp/"
  in_chroot apt-get -q update >"$log" 2>&1 || true
  in_chroot apt-get -q -y install --no-install-recommends "${DEBS[@]/#*\//\/tmp/}" >"$log" 2>&1 ||
    die "apt-get could not install ${DEBS[*]}: $(tail -n 3 "$log")"
  check_command /usr in_chroot
  say "The packages run in $CHROOT"
  rm -f "$log"
}

parse_options "$@"
[[ ! $CHROOT ]] || ((EUID == 0)) || usage_error "--chroot needs root"
set_build_folder build-package
[[ $OUT ]] || OUT=$ROOT/dist
PACKAGE_PACKAGES=(dpkg-dev binutils)
[[ ! $CHROOT ]] || PACKAGE_PACKAGES+=(debootstrap)
((COMPILE)) && PACKAGE_PACKAGES+=("${BUILD_PACKAGES[@]}")
ensure_packages "${PACKAGE_PACKAGES[@]}"
[[ $CHROOT ]] || drop_sudo
if ((COMPILE)); then
  choose_cuda "80-real;90a-real;90-virtual"
  say "$CUDA_CHOICE"
  configure -DCMAKE_BUILD_TYPE=Release -DVITRINE_BUILD_TESTS=OFF -DVITRINE_BUILD_EXAMPLES=OFF \
    -DVITRINE_BUILD_BENCH=OFF "${CUDA_OPTIONS[@]}"
  build vitrine_cli vitrine_bench_cli vitrine_shared_analysis vitrine_shared_report
fi
[[ -e $BUILD/CPackConfig.cmake ]] || usage_error "invalid --build '$BUILD': expected the folder of a build"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cpack --config "$BUILD/CPackConfig.cmake" -B "$scratch/made" >"$scratch/log" 2>&1 ||
  die "cpack failed: $(grep -m 1 -i error "$scratch/log" || tail -n 1 "$scratch/log")"
VERSION=$(sed -n 's/^set(CPACK_PACKAGE_VERSION "\(.*\)")$/\1/p' "$BUILD/CPackConfig.cmake")
mkdir -p "$OUT"
for file in "$scratch"/made/*.tar.gz "$scratch"/made/*.deb; do
  mv "$file" "$OUT/"
  say "$OUT/${file##*/}: $(du -h "$OUT/${file##*/}" | cut -f 1)"
done
ARCHIVE=$(echo "$OUT"/vitrine-"$VERSION"-*.tar.gz)
DEBS=("$OUT"/vitrine_"$VERSION"_*.deb "$OUT"/libvitrine-dev_"$VERSION"_*.deb)
check_archive "$scratch"
check_debs "$scratch"
say "The archive needs no library of this system; the packages name theirs"
[[ ! $CHROOT ]] || check_in_chroot
