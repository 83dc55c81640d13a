"""Question: how much more can be asked of a machine when several models share its devices by plans over both?"""
