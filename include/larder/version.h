/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file version.h  Version of the programming interface.
 *
 * The layout of a segment has a version of its own (larder_layout_version()):
 * two programs share a segment when their layout versions are equal, whatever
 * their library versions are.
 */
#ifndef LARDER_VERSION_H
#define LARDER_VERSION_H

#define LARDER_VERSION_MAJOR 0
#define LARDER_VERSION_MINOR 1
#define LARDER_VERSION_PATCH 0
#define LARDER_VERSION	     "0.1.0"

#endif
