#!/bin/sh
# Turns the server-side scripts of a folder into C text, each with the SHA1 by which EVALSHA names
# it.
#
#   embed.sh FOLDER          prints a RLK_SCRIPT(name, sha1, text) line for each script
#   embed.sh FOLDER NAME     prints the text of one script as the servers see it
#
# "-- include wake" in a script stands for the text of wake.lua; comments and blank lines are left
# out.
set -eu
folder=$1

expand() {
    while IFS= read -r line; do
        case $line in
            *'-- include '*) expand "$folder/${line#*-- include }.lua" ;;
            *) printf '%s\n' "$line" ;;
        esac
    done <"$1" | sed -e 's/^ *--.*$//' -e 's/^ *//' -e '/^$/d'
}

if [ $# -gt 1 ]; then
    expand "$folder/$2.lua"
    exit
fi

for name in acquire acquire_many extend extend_many release release_many inspect break scan; do
    text=$(expand "$folder/$name.lua")
    sha1=$(printf '%s' "$text" | sha1sum | cut -d ' ' -f 1)
    printf 'RLK_SCRIPT(%s, "%s",\n' "$name" "$sha1"
    printf '%s' "$text" | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/    "/' -e 's/$/\\n"/' -e '$s/\\n"$/"/'
    printf ')\n'
done
