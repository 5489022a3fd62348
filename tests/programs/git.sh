#!/bin/bash
# SPDX-License-Identifier: MIT
# A repository of 4,500 versions of files: added, packed, checked.
set -euo pipefail

export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b
export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
export GIT_AUTHOR_DATE='@1000000000 +0000'
export GIT_COMMITTER_DATE='@1000000000 +0000'
git init -q -b main repository
cd repository
for round in 1 2 3; do
	awk -v round="$round" 'BEGIN {
		for (i = 0; i < 1500; i++) {
			name = "file-" i % 40 "-" i
			for (j = 0; j < 40; j++)
				print i * j % (97 + round), "line", j > name
			close(name)
		}
	}' </dev/null
	git add .
	git commit -q -m "round $round"
done
git gc -q --aggressive
git fsck --full --strict
git rev-parse HEAD 'HEAD^{tree}'
git rev-list --objects --all | sort | sha256sum
git log --stat --format=%H | sha256sum
git count-objects -v | grep -E '^(count|in-pack|packs)'
