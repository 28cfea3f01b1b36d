/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What operations and scripts make of the letter under KEY, letter by letter;
 * the letters are those of scenario.h.
 */
#ifndef TESTS_CRASH_LETTERS_H
#define TESTS_CRASH_LETTERS_H

const char *letter_same(char before);
const char *letter_to_b(char before);
const char *letter_to_q(char before);
const char *letter_to_run(char before);
const char *letter_to_nothing(char before);
const char *letter_only_new(char before);
const char *letter_late_fill(char before);
const char *letter_late_refresh(char before);
const char *letter_only_first(char before);
const char *letter_only_old(char before);
const char *letter_first_goes(char before);
const char *letter_invalid(char before);
const char *letter_a_invalid(char before);
const char *letter_one_more(char before);
const char *letter_may_go(char before);
const char *letter_to_z(char before);
const char *letter_b_invalid(char before);
const char *letter_computed(char before);
const char *letter_ten_more(char before);

#endif
