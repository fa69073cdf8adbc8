#!/bin/sh
# Builds a checker with one fault: build.sh MUTANT PROGRAM UNMUTATED
#
# The folder of PROGRAM gets a copy of csrc with the fault, by $PLANT. One source is compiled, by
# $COMPILE, and linked by $LINK with $LIBS and the other $OBJECTS, as they lie in the folder UNMUTATED.
set -eu
mutant=$1 program=$2 unmutated=$3 folder=${2%/*}
rm -rf "$folder"
mkdir -p "$folder/generated"
cp -r csrc "$folder/csrc"
source=$($PLANT "$mutant" "$folder/csrc")
sh "$folder/csrc/core/scripts/embed.sh" "$folder/csrc/core/scripts" >"$folder/generated/scripts_text.h"

# The copy's headers and scripts come first; what a fault leaves unused is no matter.
$COMPILE -w -iquote "$folder/csrc" -iquote "$folder/generated" -c -o "$folder/changed.o" \
    "$folder/csrc/$source"
objects=
for object in $OBJECTS; do
    [ "$object" = "$unmutated/${source%c}o" ] || objects="$objects $object"
done
$LINK -o "$program" "$folder/changed.o" $objects $LIBS
