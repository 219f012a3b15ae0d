// The version of the library, in the sense of semver.org.
#ifndef TINYOBS_VERSION_H_
#define TINYOBS_VERSION_H_

#define TINYOBS_VERSION "0.1.0"

#endif  // TINYOBS_VERSION_H_
