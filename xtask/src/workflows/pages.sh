#!/bin/sh
# Brings the folder of the repositories to GitHub Pages, and waits until it is what is served: run in the folder, a checkout of the
# repository that Pages is made of. SITE is where it is served; gh has told git how to log in.
set -eu
# Pages serves a commit whole, a minute or more after the push. Without .nojekyll it would leave out files.
touch .nojekyll
git add --all .
if ! git diff --staged --quiet; then
  git -c user.name='github-actions[bot]' -c user.email=41898282+github-actions[bot]@users.noreply.github.com \
    commit --quiet --message "Packages of run $GITHUB_RUN_ID"
fi
git push --quiet origin HEAD
for _ in $(seq 90); do
  if curl --fail --silent --show-error "$SITE/apt/dists/stable/InRelease" | cmp --silent - apt/dists/stable/InRelease; then
    exit 0
  fi
  sleep 10
done
echo "$SITE does not serve what was pushed" >&2
exit 1
